"""Buckets, queues and roles: set up, and tried by the doctor.

Everything that `rwt aws` and `rwt doctor` do on AWS is here.
"""

from rwt_assets.aws.doctor import ACCOUNT, examine
from rwt_assets.aws.doctor_findings import Finding
from rwt_assets.aws.provisioning import plan_provisioning, provision, queue_account

__all__ = ["ACCOUNT", "Finding", "examine", "plan_provisioning", "provision", "queue_account"]
