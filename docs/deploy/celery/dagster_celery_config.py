"""Settings of the Celery workers; they stand on a worker's PYTHONPATH under this name.

Where broker and results are is in the environment (CELERY_BROKER_URL, CELERY_RESULT_BACKEND), since
both have passwords. Celery documentation: "Configuration and defaults".
"""

# The broker keeps a task until it has ended, and gives it to another worker if its worker is lost.
task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1

# A connection that is lost without a word is noticed after a minute.
broker_heartbeat = 30
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
worker_cancel_long_running_tasks_on_connection_loss = False

# PostgreSQL may be away for some minutes.
result_backend_always_retry = True
result_backend_max_retries = 100

# A process is replaced before what libraries keep becomes much.
worker_max_tasks_per_child = 100
