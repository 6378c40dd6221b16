"""Requests for the instance of one job: pure functions from descriptions to EC2's parameters.

Source: EC2 API reference, RunInstances.
"""

from dataclasses import replace

from control.aws.call import Call, Request
from control.aws.ec2.ec2_place import Ec2Place
from control.aws.ec2.instance_status import STOP_NAME
from control.aws.ec2.user_data import InstanceJob, user_data
from control.aws.tags import Tags
from control.aws_place import AwsPlace
from control.job_spec import JobSpec
from control.s3 import S3Uri

KIND = "ec2"  # in the tag
JOB_TAG = "kennel:job"  # the job's name in AWS: how its instance is found again


def instance_job(spec: JobSpec, aws: AwsPlace, ec2: Ec2Place, name: str) -> InstanceJob:
    """What the instance is told.

    Args:
        aws: with the image's URI (`control.aws.names.complete`).
        name: of the job in AWS, never used before.
    """
    return InstanceJob(
        name=name,
        output=f"{aws.output.rstrip('/')}/{name}",
        image=aws.image,
        instance_type=ec2.instance_type,
        hyperparameters=spec.hyperparameters,
        channels={channel: str(source) for channel, source in spec.channels.items()},
        max_run_seconds=spec.max_run_seconds,
        has_gpu=ec2.has_gpu,
        spot=ec2.spot,
        kms_key=aws.kms_key,
    )


def request_for_instance(spec: JobSpec, aws: AwsPlace, ec2: Ec2Place, job: InstanceJob) -> Call:
    """RunInstances: one instance that nothing can reach from outside, gone when it shuts down.

    The token is the job's name: sent again, the same request starts no second instance.
    Raises SpecError: the job does not fit into user data.
    """
    more = {"Name": job.name, **aws.tags, JOB_TAG: job.name}
    tags = Tags(name=spec.name, kind=KIND, more=more).as_list()
    parameters: Request = {
        "ImageId": ec2.image_id,
        "InstanceType": ec2.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": job.name,
        "IamInstanceProfile": {"Arn" if ec2.role.startswith("arn:") else "Name": ec2.role},
        "InstanceInitiatedShutdownBehavior": "terminate",
        # Two hops: the training in its container has the instance's role, as in SageMaker.
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpEndpoint": "enabled",
            "HttpPutResponseHopLimit": 2,
        },
        "BlockDeviceMappings": [{"DeviceName": ec2.root_device, "Ebs": _volume(aws, ec2)}],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")
        ],
        "UserData": user_data(job),
    }
    if ec2.subnet:
        parameters["SubnetId"] = ec2.subnet
    if ec2.security_group:
        parameters["SecurityGroupIds"] = [ec2.security_group]
    if ec2.key_name:
        parameters["KeyName"] = ec2.key_name
    if ec2.spot:
        parameters["InstanceMarketOptions"] = {
            "MarketType": "spot",
            "SpotOptions": {
                "SpotInstanceType": "one-time",
                "InstanceInterruptionBehavior": "terminate",
            },
        }
    return Call(service="ec2", operation="RunInstances", parameters=parameters)


def without_script(call: Call) -> Call:
    """The same for a person, who reads the script below it."""
    length = len(call.parameters["UserData"])
    note = f"({length:,} characters: the script below)"
    return replace(call, parameters={**call.parameters, "UserData": note})


def request_to_find(job: str) -> Call:
    """DescribeInstances: the one of this job, also where its id was never heard."""
    wanted = [{"Name": f"tag:{JOB_TAG}", "Values": [job]}]
    return Call(service="ec2", operation="DescribeInstances", parameters={"Filters": wanted})


def request_to_terminate(instance: str) -> Call:
    """TerminateInstances: at once, whatever it does."""
    return Call(
        service="ec2", operation="TerminateInstances", parameters={"InstanceIds": [instance]}
    )


def request_to_read(where: S3Uri, name: str) -> Call:
    """GetObject: what the instance of the job at `where` writes of itself."""
    uri = where.join(name)
    return Call(
        service="s3", operation="GetObject", parameters={"Bucket": uri.bucket, "Key": uri.key}
    )


def request_to_stop(where: S3Uri) -> Call:
    """PutObject: the mark that lets the instance stop its training, which saves what it has."""
    mark = where.join(STOP_NAME)
    parameters = {"Bucket": mark.bucket, "Key": mark.key, "Body": b"stop\n"}
    return Call(service="s3", operation="PutObject", parameters=parameters)


def _volume(aws: AwsPlace, ec2: Ec2Place) -> Request:
    volume: Request = {
        "VolumeSize": ec2.volume_gb,
        "VolumeType": "gp3",
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    if aws.kms_key:
        volume["KmsKeyId"] = aws.kms_key
    return volume
