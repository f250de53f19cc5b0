"""The cloud and its bookkeeping: where it starts, how it grows, how it is stored."""
