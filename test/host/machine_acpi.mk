# The machine's description: add.h and machine_finish, PVH, the command line, ACPI.
ACPI_SOURCES    := machine/acpi.c machine/acpi_madt.c machine/acpi_misc.c machine/acpi_pci.c machine/acpi_iommu.c \
                   machine/acpi_s5.c machine/acpi_devices.c machine/acpi_aml.c
MACHINE_SOURCES := machine/machine.c machine/add.c machine/pvh.c machine/options.c machine/report.c \
                   machine/report_form.c lib/text.c
PHYSICAL        := test/host/support/physical.c

HOST_TESTS += machine acpi acpi_broken
machine_SOURCES := $(MACHINE_SOURCES) $(PHYSICAL)
acpi_SOURCES    := $(ACPI_SOURCES) $(MACHINE_SOURCES) $(PHYSICAL) test/host/support/acpi_tables.c
acpi_broken_SOURCES := $(acpi_SOURCES)

FUZZ_TARGETS += acpi pvh
fuzz_acpi_SOURCES := $(ACPI_SOURCES) $(MACHINE_SOURCES) $(PHYSICAL)
fuzz_pvh_SOURCES  := $(MACHINE_SOURCES) $(PHYSICAL)
