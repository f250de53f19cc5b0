"""A capture folder becomes batches: ``capture`` is the folder, ``datamodule`` serves its frames."""
