"""What the tutorials show: one Celery task that does everything, retried on any error. Kept to be compared with."""
