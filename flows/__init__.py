"""How work is started and scheduled: the Prefect flow, the engines under it and the ``spotdiff`` command."""
