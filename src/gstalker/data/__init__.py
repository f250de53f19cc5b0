"""A capture folder becomes batches. What a capture is: ``capture``; how frames are served: ``datamodule``."""
