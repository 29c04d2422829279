# Authority: the rules alone, and the whole of it over a small machine that is played
# (test/host/support/authority_world.h).
AUTHORITY_SOURCES  = authority/rules.c authority/revoke.c authority/window.c authority/dma.c authority/irq.c \
                     authority/msix.c authority/reset.c authority/slot.c platform/interrupt.c test/host/support/authority_world.c model/pci_config.c \
                     lib/text.c $(PCI_SOURCES)
AUTHORITY_CFLAGS  := -Itest/host/support/fake_arch
AUTHORITY_LIBS    := -Wl,--wrap=calloc

HOST_TESTS += rules authority authority_dma authority_irq authority_manager authority_reset authority_slot
rules_SOURCES := authority/rules.c

define AUTHORITY_TEST
$1_SOURCES  = $$(AUTHORITY_SOURCES)
$1_CFLAGS  := $$(AUTHORITY_CFLAGS)
$1_LIBS    := $$(AUTHORITY_LIBS)
$1_DEPENDS := authority/manager.c
endef
$(foreach t,authority authority_dma authority_irq authority_manager authority_reset authority_slot,$(eval $(call AUTHORITY_TEST,$t)))

FUZZ_TARGETS += authority
fuzz_authority_SOURCES = $(AUTHORITY_SOURCES)
fuzz_authority_CFLAGS := $(AUTHORITY_CFLAGS)
fuzz_authority_LIBS   := $(AUTHORITY_LIBS) -lcmocka
