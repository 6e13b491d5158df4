"""One file a kind of stage: its configuration, what it reads, and how it is made."""
