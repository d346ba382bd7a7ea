"""A study from its file to its run folder: what is asked, the stages that answer it, and the record of both."""
