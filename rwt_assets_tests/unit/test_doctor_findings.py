"""What the doctor makes of the key with which a bucket encrypts."""

import pytest

from rwt_assets.aws.doctor_findings import judge_encryption, look

KEY = "arn:aws:kms:us-east-1:000000000000:key/1234-abcd"


@pytest.mark.parametrize(
    ("named", "algorithm", "key", "found", "fix"),
    [
        (None, "AES256", "", "by S3's own keys (AES256)", ""),
        (None, "", "", "by S3's own keys (no default)", ""),
        (None, "aws:kms", "", "by the key of AWS for S3 (aws/s3)", ""),
        (KEY, "aws:kms", KEY, "by the key that target.kms_key names (aws:kms)", ""),
        (KEY, "aws:kms:dsse", "1234-abcd", "names (aws:kms:dsse)", ""),
        (KEY, "aws:kms", "alias/lake", "which may be the key", ""),
        (None, "aws:kms", KEY, f"by the key {KEY}, which target.kms_key does not", "Set target."),
        (None, "aws:kms", "alias/lake", "by the key alias/lake, which", "Set target.kms_key"),
        (f"{KEY}-2", "aws:kms", KEY, f"by the key {KEY}, and target.kms_key names", "Name the"),
        (KEY, "aws:kms", "", "aws/s3), and target.kms_key names", "Name the key"),
        (KEY, "AES256", "", "(AES256), and target.kms_key names", "Have the bucket encrypt"),
    ],
)
def test_the_key_of_a_bucket_is_compared_with_the_one_that_is_named(
    named, algorithm, key, found, fix
):
    finding = look("encryption of lake", lambda: judge_encryption(named, algorithm, key))
    assert found in finding.found
    assert finding.fix.startswith(fix)
    assert finding.ok is not bool(fix)
