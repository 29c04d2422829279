# Consoles and power as firmware's tables give them: SPCR and DBG2, AML, the chain of means that end a machine.
HOST_TESTS += acpi_serial acpi_aml power pci_uart
acpi_serial_SOURCES := $(wildcard machine/acpi*.c) machine/machine.c machine/add.c machine/pvh.c machine/options.c \
                       machine/report.c machine/report_form.c lib/text.c test/host/support/physical.c \
                       test/host/support/acpi_tables.c
acpi_aml_SOURCES := $(acpi_serial_SOURCES)
power_DEPENDS    := platform/power.c
power_CFLAGS     := -Itest/host/support/fake_arch
pci_uart_SOURCES := machine/pci_enumerate.c machine/pci_bars.c machine/pci_place.c machine/pci_capability.c machine/pci_assign.c \
                    machine/pci_check.c machine/pci_names.c machine/pci_report.c machine/pci_uart.c

FUZZ_TARGETS += acpi_s5
fuzz_acpi_s5_SOURCES := $(filter-out test/host/support/%,$(acpi_serial_SOURCES))
