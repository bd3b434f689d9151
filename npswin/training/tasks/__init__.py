"""What a model is trained for: `task.py` says what the trainer asks of a task; one file for each."""
