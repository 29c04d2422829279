# Tests of the device tree's reader and of fw_cfg.
FDT_SOURCES := machine/fdt.c machine/fdt_address.c machine/fdt_controllers.c machine/fdt_cpus.c machine/fdt_devices.c \
               machine/fdt_interrupts.c machine/fdt_machine.c machine/fdt_pci.c machine/fdt_print.c
FDT_MACHINE := $(FDT_SOURCES) machine/machine.c machine/add.c lib/text.c

# fdt, fdt_contents: broken and hostile trees. fdt_machine: what is read out of trees that dtc compiles and QEMU makes.
# fdt_oracle: every tree that is at hand, beside libfdt.
HOST_TESTS          += fdt fdt_contents fdt_machine fdt_oracle fw_cfg
fdt_SOURCES        := $(FDT_MACHINE)
fdt_contents_SOURCES := $(FDT_MACHINE)
fdt_machine_SOURCES := $(FDT_MACHINE)
fdt_oracle_SOURCES := $(FDT_MACHINE)
fdt_oracle_LIBS    := -lfdt
fdt_oracle_CFLAGS  := -Dfdt_next_node=vmos_fdt_next_node -Dfdt_property=vmos_fdt_property -Dfdt_string=vmos_fdt_string
fw_cfg_SOURCES     := machine/fw_cfg.c $(FDT_MACHINE)

FUZZ_TARGETS     += fdt fw_cfg
fuzz_fdt_SOURCES := $(FDT_MACHINE)
fuzz_fw_cfg_SOURCES := machine/fw_cfg.c machine/fdt.c
