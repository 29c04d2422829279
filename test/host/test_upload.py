"""tools/upload-gcp, upload-aws, upload-azure against recorded replies of gcloud, aws and az."""
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))
from disks import ROOT, Edit, copy, make, pack, tool  # noqa: E402

FAKE = Path(__file__).parent / "support/fake_cloud.py"
TOOL = {"gcp": "gcloud", "aws": "aws", "azure": "az"}
pytestmark = pytest.mark.skipif(not shutil.which("sgdisk") or not shutil.which("mformat"),
                                reason="gdisk or mtools are not installed")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    found = {}
    for arch in "x64", "arm64":
        raw = make(folder, arch, "1G", f"vmos-{arch}-aws.raw")
        found["aws", arch] = raw
        found["gcp", arch] = pack("gcp", raw, folder / f"vmos-{arch}-gcp.tar.gz")
        found["azure", arch] = pack("vhd", make(folder, arch), folder / f"vmos-{arch}-azure.vhd")
    return found


def ok(output=""):
    return [0, output, ""]


def bad(error="ERROR: refused\n", status=1):
    return [status, "", error]


# What the tools answer when all goes well; a test puts other replies before these.
REPLIES = {
    "gcp": [
        ["auth list", [ok("me@example.org\n")]], ["config get-value project", [ok("proj\n")]],
        ["images describe .*value.name", [bad("ERROR: not found\n")]], ["storage cp", [ok()]], ["images create",
                                                                                                [ok()]],
        ["images describe .*value.status", [ok("PENDING\n"), ok("PENDING\n"), ok("READY\n")]], ["storage rm", [ok()]],
    ],
    "aws": [
        ["sts get-caller-identity", [ok("123456789012\n")]], ["configure get region", [ok("eu-north-1\n")]],
        ["describe-images", [ok("")]], ["start-snapshot", [ok("snap-1\n")]], ["put-snapshot-block",
                                                                              [ok('{"Checksum": "x"}\n')]],
        ["complete-snapshot", [ok('{"Status": "pending"}\n')]], ["describe-snapshots", [ok("pending\n"),
                                                                                        ok("completed\n")]],
        ["register-image", [ok("ami-1\n")]], ["delete-snapshot", [ok()]],
    ],
    "azure": [
        ["account show --query id", [ok("sub\n")]], ["group exists", [ok("true\n")]], ["group show",
                                                                                       [ok("northeurope\n")]],
        ["storage account show", [ok("/subscriptions/sub/storageAccounts/acct\n")]], ["sig show", [bad()]],
        ["sig create", [ok()]], ["image-definition show", [bad()]], ["image-definition create", [ok()]],
        ["container create", [ok()]], ["blob upload", [ok()]], ["image-version create", [ok()]],
        ["image-version show .*provisioningState", [bad("", 0), ok("Creating\n"), ok("Replicating\n"),
                                                    ok("Succeeded\n")]],
        ["image-version show", [ok("/subscriptions/sub/versions/1.0.0\n")]], ["blob delete", [ok()]],
    ],
}
OPTIONS = {"gcp": ["--bucket", "buck"], "aws": [], "azure": ["--resource-group", "grp", "--storage-account", "acct",
                                                                "--gallery", "gal"]}


NEEDED = "sh cat date dd dirname git grep mktemp rm sed sleep stat wc".split()


class Cloud:
    """One run of an upload tool."""

    def __init__(self, folder, cloud, image, *more, replies=(), options=None, installed=True, times="20"):
        folder = folder / f"run{len(list(folder.iterdir()))}"
        (folder / "bin").mkdir(parents=True)
        for name in NEEDED:  # no other program, and no real tool of a cloud, is on PATH
            (folder / "bin" / name).symlink_to(shutil.which(name))
        if installed:
            (folder / "bin" / TOOL[cloud]).symlink_to(FAKE)
        (folder / "replies.json").write_text(json.dumps([*replies, *REPLIES[cloud]]))
        self.folder = folder
        environment = {"PATH": str(folder / "bin"), "VMOS_FAKE": str(folder), "VMOS_POLL_SECONDS": "0",
                       "VMOS_POLL_TIMES": times, "TMPDIR": str(folder), "HOME": str(folder)}
        done = tool(f"upload-{cloud}", *(OPTIONS[cloud] if options is None else options), *more, image, env=environment)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        calls = folder / "calls.jsonl"
        self.calls = [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
        assert "fake: nothing recorded" not in self.err, self.err
        left = {path.name for path in folder.iterdir()} - {"bin", "replies.json", "calls.jsonl", "blocks"}
        assert not [name for name in left if not name.startswith("count")], f"left behind: {left}"

    def call(self, words):
        """The one call that has these words in a row."""
        found = [call for call in self.calls if words in " ".join(call)]
        assert len(found) == 1, (words, self.calls)
        return found[0]

    def called(self, words):
        return any(words in " ".join(call) for call in self.calls)


def data_of(file):
    """Offsets of pieces that are not zero."""
    at, size = 0, os.fstat(file.fileno()).st_size
    file.flush()
    while at < size:
        try:
            at = os.lseek(file.fileno(), at, os.SEEK_DATA) >> 16 << 16
        except OSError:
            return
        if any(os.pread(file.fileno(), 1 << 16, at)):
            yield at
        at += 1 << 16


def refused(run, sentence, *not_called):
    assert run.status == 1 and sentence in run.err, (run.status, run.err)
    for words in not_called:
        assert not run.called(words), words


@pytest.mark.parametrize("arch,name", [("x64", "X86_64"), ("arm64", "ARM64")])
def test_gcp(images, tmp_path, arch, name):
    run = Cloud(tmp_path, "gcp", images["gcp", arch], "--name", "mine")
    assert run.status == 0, run.err
    assert run.call("storage cp")[-2:] == [str(images["gcp", arch]), "gs://buck/mine.tar.gz"]
    create = run.call("images create")
    assert create[4] == "mine" and {"--project=proj", "--source-uri=gs://buck/mine.tar.gz", f"--architecture={name}",
                                    "--guest-os-features=UEFI_COMPATIBLE,GVNIC"} <= set(create)
    assert run.call("storage rm")[-1] == "gs://buck/mine.tar.gz" and run.out.count("is PENDING; waiting") == 1
    assert "gcloud compute instances create vmos --project=proj" in run.out and "nic-type=GVNIC" in run.out


@pytest.mark.parametrize("arch,name", [("x64", "x86_64"), ("arm64", "arm64")])
def test_aws(images, tmp_path, arch, name):
    run = Cloud(tmp_path, "aws", images["aws", arch], "--name", "mine")
    assert run.status == 0, run.err
    start = run.call("start-snapshot")
    assert start[start.index("--volume-size") + 1] == "1"
    # The blocks that were sent are the disk, and all of it.
    sent = {int(path.name): path.read_bytes() for path in (run.folder / "blocks").iterdir()}
    assert len(sent) < 12
    complete = run.call("complete-snapshot")
    assert complete[complete.index("--changed-blocks-count") + 1] == str(len(sent))
    with Edit(images["aws", arch]) as disk:
        for index in {0, 100, 1023, 2047} | set(sent):
            assert disk[index << 19:(index + 1) << 19] == sent.get(index, bytes(1 << 19)), index
        for index, data in sent.items():
            disk[index << 19:(index + 1) << 19] = bytes(len(data))
        assert not list(data_of(disk.file)), "something of the disk was not sent"
        for index, data in sent.items():
            disk[index << 19:(index + 1) << 19] = data
    register = run.call("register-image")
    for option, value in (("--architecture", name), ("--boot-mode", "uefi"), ("--imds-support", "v2.0"),
                          ("--virtualization-type", "hvm"), ("--root-device-name", "/dev/xvda"), ("--name", "mine"),
                          ("--block-device-mappings", "DeviceName=/dev/xvda,Ebs={SnapshotId=snap-1,VolumeType=gp3,"
                           "DeleteOnTermination=true}"), ("--region", "eu-north-1")):
        assert register[register.index(option) + 1] == value, option
    assert "--ena-support" in register and not run.called("delete-snapshot")
    assert "aws ec2 run-instances --image-id ami-1" in run.out


@pytest.mark.parametrize("arch,name", [("x64", "x64"), ("arm64", "Arm64")])
def test_azure(images, tmp_path, arch, name):
    run = Cloud(tmp_path, "azure", images["azure", arch], "--version", "2.3.4")
    assert run.status == 0, run.err
    definition = run.call("image-definition create")
    for option, value in (("--hyper-v-generation", "V2"), ("--architecture", name), ("--os-type", "Linux"),
                          ("--features", "DiskControllerTypes=NVMe,SCSI"), ("--os-state", "Specialized"),
                          ("--location", "northeurope"), ("--gallery-name", "gal"), ("--resource-group", "grp")):
        assert definition[definition.index(option) + 1] == value, option
    upload = run.call("blob upload")
    assert upload[upload.index("--type") + 1] == "page" and upload[upload.index("--file") + 1] == str(images["azure",
                                                                                                             arch])
    version = run.call("image-version create")
    uri = version[version.index("--os-vhd-uri") + 1]
    assert uri == f"https://acct.blob.core.windows.net/vhds/vmos-{arch}-2.3.4.vhd"
    assert version[version.index("--os-vhd-storage-account") + 1] == "/subscriptions/sub/storageAccounts/acct"
    assert version[version.index("--gallery-image-version") + 1] == "2.3.4"
    assert "is not there yet; waiting" in run.out and "is Replicating; waiting" in run.out and run.called("blob delete")
    assert "--disk-controller-type NVMe" in run.out and "--specialized" in run.out


def test_azure_where_all_is_there(images, tmp_path):
    there = [["sig show", [ok("id\n")]], ["image-definition show", [ok("V2 x64\n")]],
             ["image-version show .*query id", [bad(), ok("/id\n")]]]
    run = Cloud(tmp_path, "azure", images["azure", "x64"], replies=there)
    assert run.status == 0 and not run.called("sig create") and not run.called("definition create"), run.err
    there[2][1] = [ok("/id\n")]
    refused(Cloud(tmp_path, "azure", images["azure", "x64"], replies=there), "version 1.0.0 of vmos-x64 already",
            "upload")
    there[1][1] = [ok("V1 x64\n")]
    refused(Cloud(tmp_path, "azure", images["azure", "x64"], replies=there), "is for V1 x64, not V2 x64", "upload")


@pytest.mark.parametrize("cloud", TOOL)
def test_dry_run(images, tmp_path, cloud):
    """Nothing is called, the tool need not be there, and what is printed are the words of a real run."""
    image = images[cloud, "x64"]
    dry = Cloud(tmp_path, cloud, image, "--dry-run", "--name", "mine", installed=False)
    assert dry.status == 0 and not dry.calls, dry.err
    printed = [shlex.split(line) for line in dry.out.splitlines() if line.startswith(TOOL[cloud] + " ")][:-1]
    real = Cloud(tmp_path, cloud, image, "--name", "mine")
    placeholders = {"PROJECT": "proj", "REGION": "eu-north-1", "SNAPSHOT": "snap-1", "LOCATION": "northeurope",
                    "STORAGE": "/subscriptions/sub/storageAccounts/acct"}

    def same(word):
        for placeholder, value in placeholders.items():
            word = word.replace(placeholder, value)
        return "BLOCK" if word == "block" or word.endswith("/block") else word
    looks = ("images describe", "sig show", "definition show", "version show")  # how often is the cloud's affair
    want = [[same(word) for word in call] for call in printed if not any(look in " ".join(call) for look in looks)]
    got = [[same(word) for word in call] for call in real.calls if not any(look in " ".join(call) for look in looks)]
    unique = lambda calls: [call for i, call in enumerate(calls) if call not in calls[:i]]
    assert unique(want) == unique(got)


@pytest.mark.parametrize("cloud,install", [("gcp", "install the Google Cloud CLI"), ("aws", "install the AWS CLI"),
                                           ("azure", "install the Azure CLI")])
def test_tool_missing(images, tmp_path, cloud, install):
    refused(Cloud(tmp_path, cloud, images[cloud, "x64"], installed=False), f"there is no {TOOL[cloud]} here; {install}")


FAILURES = [  # cloud, replies, sentence, what must not be called afterwards, what must
    ("gcp", ["auth list", [ok("")]], "gcloud is not logged in; run: gcloud auth login", "storage cp", None),
    ("gcp", ["get-value project", [ok("")]], "gcloud knows no project; say --project", "storage cp", None),
    ("gcp", ["value.name", [ok("mine\n")]], "already; say --name OTHER", "storage cp", None),
    ("gcp", ["storage cp", [bad()]], "gcloud storage buckets create gs://buck", "images create", None),
    ("gcp", ["images create", [bad()]], "Compute Engine refused the image", "storage rm", None),
    ("gcp", ["value.status", [ok("PENDING\n"), ok("FAILED\n")]], "is FAILED; the cloud's console", "storage rm", None),
    ("gcp", ["value.status", [ok("PENDING\n")]], "is still PENDING after", "storage rm", None),
    ("aws", ["get-caller-identity", [bad()]], "aws is not logged in; run: aws configure", "start-snapshot", None),
    ("aws", ["configure get region", [bad("")]], "aws knows no region; say --region", "start-snapshot", None),
    ("aws", ["describe-images", [ok("ami-7\n")]], "already (ami-7)", "start-snapshot", None),
    ("aws", ["describe-images", [bad()]], "cannot look for images", "start-snapshot", None),
    ("aws", ["start-snapshot", [bad()]], "a snapshot could not be started", "put-snapshot-block", None),
    ("aws", ["put-snapshot-block", [ok(), bad()]], "could not be written after three attempts", "complete",
     "delete-snapshot"),
    ("aws", ["complete-snapshot", [bad()]], "could not be completed", "register", "delete-snapshot --snapshot-id "
                                                                                  "snap-1"),
    ("aws", ["describe-snapshots", [ok("pending\n"), ok("error\n")]], "snapshot snap-1 is error", "register",
     "delete-snapshot"),
    ("aws", ["describe-snapshots", [ok("pending\n")]], "is still pending after", "register", "delete-snapshot"),
    ("aws", ["register-image", [bad()]], "the image could not be registered", "run-instances", "delete-snapshot"),
    ("azure", ["account show --query id", [bad()]], "az is not logged in; run: az login", "storage", None),
    ("azure", ["group exists", [ok("false\n")]], "no resource group grp; make it: az group create", "storage", None),
    ("azure", ["storage account show", [bad()]], "az storage account create --name acct", "sig", None),
    ("azure", ["sig create", [bad()]], "the gallery could not be made", "upload", None),
    ("azure", ["definition create", [bad()]], "the image definition could not be made", "upload", None),
    ("azure", ["container create", [bad()]], "the container vhds could not be made", "upload", None),
    ("azure", ["blob upload", [bad()]], "could not be copied to acct", "version create", None),
    ("azure", ["version create", [bad()]], "Azure refused the version", "blob delete", None),
    ("azure", ["provisioningState", [ok("Creating\n"), ok("Failed\n")]], "is Failed; the cloud's console",
     "blob delete", None),
]


@pytest.mark.parametrize("cloud,reply,sentence,never,then", FAILURES, ids=[f"{f[0]}: {f[2][:30]}" for f in FAILURES])
def test_failures(images, tmp_path, cloud, reply, sentence, never, then):
    run = Cloud(tmp_path, cloud, images[cloud, "x64"], replies=[reply])
    refused(run, sentence, never)
    assert then is None or run.called(then), run.calls


def test_aws_tries_again(images, tmp_path):
    run = Cloud(tmp_path, "aws", images["aws", "x64"], replies=[["put-snapshot-block", [bad(), bad(), ok()]]])
    assert run.status == 0, run.err


def test_region(images, tmp_path):
    run = Cloud(tmp_path, "aws", images["aws", "x64"], "--region", "us-west-2")
    assert run.call("register-image")[-1] == "us-west-2" and not run.called("configure get")


def test_lint_comes_first(images, tmp_path):
    """What a cloud would refuse, or what would not boot there, is not sent."""
    image = copy(images["azure", "x64"], tmp_path / "vmos-x64-azure.vhd")
    os.truncate(image, os.path.getsize(image) - 512)
    run = Cloud(tmp_path, "azure", image)
    refused(run, "fix what stands above first")
    assert "no VHD footer" in run.out and not run.calls
    refused(Cloud(tmp_path, "gcp", images["gcp", "x64"], "--arch", "arm64"), "fix what stands above first")


@pytest.mark.parametrize("cloud,arguments,sentence", [
    ("gcp", ["--nonsense"], "--nonsense is no option"), ("gcp", ["--name"], "--name wants a value"),
    ("gcp", ["absent.tar.gz"], "there is no absent.tar.gz; `make image-gcp` makes one"), ("gcp", [],
                                                                                          "upload-gcp [--dry-run]"),
    ("gcp", ["a", "b"], "one file at a time"), ("gcp", ["FILE"], "--bucket BUCKET"),
    ("gcp", ["--bucket", "b", "--name", "Mine", "FILE"], "a name has small letters"),
    ("gcp", ["--bucket", "b", "--arch", "rv64", "FILE"], "no cloud has machines of architecture rv64"),
    ("aws", ["x.vmdk"], "this sends a raw disk"), ("azure", ["FILE"], "--resource-group GROUP"),
    ("azure", ["--resource-group", "g", "FILE"], "--storage-account ACCOUNT"),
    ("azure", ["--resource-group", "g", "--storage-account", "a", "FILE"], "--gallery GALLERY"),
    ("azure", ["--resource-group", "g", "--storage-account", "a", "--gallery", "x-y", "FILE"], "a gallery's name has"),
    ("azure", ["--resource-group", "g h", "--storage-account", "a", "--gallery", "x", "FILE"],
     "no resource group can be"),
    ("azure", ["--resource-group", "g", "--storage-account", "a", "--gallery", "x", "--version", "7", "FILE"],
     "three numbers with dots"),
])
def test_usage(images, tmp_path, cloud, arguments, sentence):
    arguments = [str(images[cloud, "x64"]) if word == "FILE" else word for word in arguments]
    done = tool(f"upload-{cloud}", *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2) and sentence in done.stderr, done.stderr
    help_ = tool(f"upload-{cloud}", "--help")
    assert help_.returncode == 0 and "--dry-run" in help_.stdout


def test_arch_from_the_name(images, tmp_path):
    image = copy(images["azure", "arm64"], tmp_path / "disk.vhd")
    refused(Cloud(tmp_path, "azure", image), "say --arch x64 or --arch arm64")
    assert Cloud(tmp_path, "azure", image, "--arch", "arm64").status == 0


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck():
    scripts = ["tools/upload-gcp", "tools/upload-aws", "tools/upload-azure", "tools/upload.sh"]
    done = subprocess.run(["shellcheck", "-x", *scripts], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
