"""What each cloud asks of an image. A rule that came from a document names it; "seen" is experience, not promise.

    [GCP]    Compute Engine, "Import a boot disk manually", requirements
    [AWS]    VM Import/Export, "Requirements": image formats; EBS, "Volume constraints"
    [Azure]  "Prepare a Windows/Linux VHD to upload", "Generation 2 VMs", "Upload a VHD" (az disk create)
"""
from .container import Image
from .report import size_text
from .vhd import TO_FIXED
from .vmdk import TO_STREAM

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
# What a file is meant for when nobody says: the only cloud, or the likeliest, that takes its format.
BY_FORMAT = {"tar.gz": "gcp", "vmdk-stream": "aws", "vmdk": "aws", "vhd-fixed": "azure", "vhd-dynamic": "azure",
             "vhd-differencing": "azure"}
NAMES = {"gcp": "Compute Engine", "aws": "AWS", "azure": "Azure"}
CLOUD_ARCH = ("x64", "arm64")
FORMAT_TEXT = {"raw": "a raw disk", "vmdk-stream": "a stream-optimised VMDK", "vmdk": "a VMDK that is not "
               "stream-optimised", "vhd-fixed": "a fixed VHD", "vhd-dynamic": "a dynamic VHD", "tar.gz": "a tar.gz",
               "vhd-differencing": "a differencing VHD"}


def check_gcp(image, report):
    if image.kind != "tar.gz":
        report.wrong(f"Compute Engine imports disk.raw in an old-GNU tar.gz, not {FORMAT_TEXT[image.kind]}: "
                     "tar --format=oldgnu -Sczf IMAGE.tar.gz disk.raw")
    if image.disk is None:
        return
    size = image.disk.size
    if size % GIB:  # [GCP]: "size in an increment of 1 GB"; GB there are GiB, seen
        report.wrong(f"Compute Engine takes disks of a whole number of GiB and this one has {size_text(size)}; "
                     f"enlarge it and move the backup GPT: truncate -s {size // GIB + 1}G disk.raw && sgdisk -e "
                     "disk.raw")
    if size > 2 * TIB:  # [GCP]
        report.wrong(f"Compute Engine imports boot disks up to 2 TiB and this one has {size_text(size)}")


def check_aws(image, report):
    if image.kind == "vmdk":  # [AWS]: of VMDKs only "stream-optimized ESX"
        report.wrong(f"of VMDKs AWS imports only the stream-optimised ones: {TO_STREAM}")
    elif image.kind == "tar.gz":
        report.wrong("AWS imports a raw disk, a stream-optimised VMDK or a VHD, not a tar.gz: unpack it first")
    if image.disk is None:
        return
    if image.disk.size > 16 * TIB:  # [AWS] gp3's limit of old, and import's
        report.wrong(f"AWS imports disks up to 16 TiB and this one has {size_text(image.disk.size)}")
    if image.disk.size % GIB:
        report.note(f"an EBS volume has a whole number of GiB and this disk {size_text(image.disk.size)}: the backup "
                    "GPT will not lie at the volume's end")


def check_azure(image, report):
    if image.kind == "vhd-dynamic":  # [Azure]: "Only fixed"
        report.wrong(f"Azure imports fixed VHDs only and this is a dynamic one: {TO_FIXED}")
    elif image.kind not in ("vhd-fixed", "vhd-differencing"):
        report.wrong(f"Azure imports a fixed VHD, not {FORMAT_TEXT[image.kind]}: {TO_FIXED}")
    if image.disk is None:
        return
    size = image.disk.size
    if size % MIB:  # [Azure]: "All VHDs on Azure must have a virtual size aligned to 1 MB"
        report.wrong(f"Azure takes disks of a whole number of MiB and this one has {size_text(size)}: enlarge it "
                     f"first: qemu-img resize -f raw DISK {size // MIB + 1}M, then {TO_FIXED}")
    if size < 20 * MIB:  # [Azure] the smallest upload is 20 MiB and the footer
        report.wrong(f"Azure takes disks of at least 20 MiB and this one has {size_text(size)}")
    if size > 4095 * GIB:  # [Azure] the largest OS disk
        report.wrong(f"an OS disk on Azure has at most 4095 GiB and this one has {size_text(size)}")


CHECK = {"gcp": check_gcp, "aws": check_aws, "azure": check_azure}


def clouds_of(image: Image, asked):
    return asked or ([BY_FORMAT[image.kind]] if image.kind in BY_FORMAT else [])


def check_boot(clouds, table, arches, allow_bios, report):
    """Whether machines of those clouds start what is there. arches: those of the boot files that UEFI would start."""
    bootable = [arch for arch in arches if arch in CLOUD_ARCH]
    if not bootable and table.bios:
        # UEFI is the only way on arm64 everywhere, on Azure generation 2 and on Nitro's newest types; x64 elsewhere
        # still starts by BIOS [GCP: without UEFI_COMPATIBLE; AWS: boot mode legacy-bios; Azure: generation 1].
        (report.note if allow_bios else report.wrong)(
            "this disk boots by BIOS only: Azure generation 2, every arm64 machine and whatever is registered as UEFI "
            "need an EFI system partition with \\EFI\\BOOT\\BOOTX64.EFI or BOOTAA64.EFI (--allow-bios if BIOS is "
            "meant)")
    elif clouds and arches and not bootable:
        report.note(f"no cloud has machines of this architecture ({', '.join(arches)})")
    if "azure" in clouds and table.scheme == "mbr" and bootable:  # [Azure, Generation 2 VMs]
        report.wrong("Azure's generation 2 machines boot from a GPT and this disk has an MBR: sgdisk -g FILE")
