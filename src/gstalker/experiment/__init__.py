"""From a question to a table: runs, training, evaluation, driving."""
