# The PCI finder, and the switches of a function.

PCI_SOURCES := machine/pci_enumerate.c machine/pci_bars.c machine/pci_place.c machine/pci_capability.c machine/pci_assign.c \
               machine/pci_check.c machine/pci_health.c machine/pci_names.c machine/pci_report.c machine/pci_uart.c

HOST_TESTS += pci pci_health pci_hostile pci_hostile_bars msix
pci_SOURCES         := $(PCI_SOURCES) model/pci_config.c
pci_health_SOURCES  := $(PCI_SOURCES) model/pci_config.c
pci_hostile_SOURCES := $(PCI_SOURCES) model/pci_config.c
pci_hostile_bars_SOURCES := $(PCI_SOURCES) model/pci_config.c
msix_SOURCES        := $(PCI_SOURCES) model/pci_config.c authority/msix.c
msix_CFLAGS         := -Iplatform/x64

FUZZ_TARGETS += pci
fuzz_pci_SOURCES := $(PCI_SOURCES) model/pci_config.c
