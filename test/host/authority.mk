# Authority: the rules alone, and the whole of it over a small machine that is played
# (test/host/support/authority_world.h).
AUTHORITY_SOURCES  = authority/rules.c authority/revoke.c authority/window.c authority/dma.c authority/irq.c \
                     authority/msix.c platform/interrupt.c test/host/support/authority_world.c model/pci_config.c \
                     lib/text.c $(PCI_SOURCES)
AUTHORITY_CFLAGS  := -Itest/host/support/fake_arch
AUTHORITY_LIBS    := -Wl,--wrap=calloc

HOST_TESTS += rules authority
rules_SOURCES     := authority/rules.c
authority_SOURCES  = $(AUTHORITY_SOURCES)
authority_CFLAGS  := $(AUTHORITY_CFLAGS)
authority_LIBS    := $(AUTHORITY_LIBS)
authority_DEPENDS := authority/manager.c
