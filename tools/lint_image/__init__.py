"""What tools/lint-image knows of disk images.

    report.py      what was found: sentences
    disk.py        a disk's bytes, wherever a file keeps them
    container.py   what kind of file this is, and its wrapping: tar.gz (archive.py), VMDK (vmdk.py), VHD (vhd.py), raw
    gpt.py         partition table
    fat.py pe.py   the EFI system partition and the program that firmware starts from it
    cloud.py       what each cloud asks of all that
    main.py        the command

Everything that is read is hostile: a length is bounded before it is used, a chain has an end, and what makes no sense
becomes a sentence.
"""
