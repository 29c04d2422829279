/*
 * pci_qtest.c: the PCI finder on QEMU's devices, without a guest: configuration space over QEMU's test protocol.
 *
 *     pci_qtest SOCKET ports|ECAM [KIND:BUS:CPU:SIZE...] [keep] [dump]
 *
 * Enumerates, assigns from the windows, switches decoding on, and reports each function. `keep`: firmware has
 * been here. `dump`: prints the configuration spaces as `lspci -xxxx` does instead.
 */
#include <machine/pci.h>
#include <machine/pci_reg.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "pci_found.h"

static FILE *qtest;
static uint64_t ecam; /* 0: ports */

static uint64_t ask(const char *verb, char width, uint64_t address, const uint64_t *value)
{
    char line[256];
    uint64_t result = 0;

    if (value != NULL)
        fprintf(qtest, "%s%c 0x%" PRIx64 " 0x%" PRIx64 "\n", verb, width, address, *value);
    else
        fprintf(qtest, "%s%c 0x%" PRIx64 "\n", verb, width, address);
    fflush(qtest);
    if (fgets(line, sizeof line, qtest) == NULL || strncmp(line, "OK", 2) != 0) {
        fprintf(stderr, "qtest: %s", line);
        exit(1);
    }
    sscanf(line, "OK 0x%" SCNx64, &result);
    return result;
}

static uint64_t select_register(struct pci_address where, unsigned offset)
{
    uint64_t function = (uint64_t)where.bus << 8 | where.devfn;
    uint64_t address = UINT64_C(0x80000000) | function << 8 | (offset & 0xfc);

    if (ecam != 0)
        return ecam + (function << 12) + offset;
    ask("out", 'l', 0xcf8, &address);
    return 0xcfc + (offset & 3);
}

static uint32_t qtest_read(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width)
{
    char letter = width == 1 ? 'b' : width == 2 ? 'w' : 'l';

    (void)access;
    uint64_t place = select_register(where, offset);
    return (uint32_t)ask(ecam != 0 ? "read" : "in", letter, place, NULL);
}

static void qtest_write(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width,
                        uint32_t value)
{
    char letter = width == 1 ? 'b' : width == 2 ? 'w' : 'l';
    uint64_t wide = value;

    (void)access;
    ask(ecam != 0 ? "write" : "out", letter, select_register(where, offset), &wide);
}

static void decode(const struct pci_access *access, const struct pci_function *function)
{
    uint32_t command = access->read(access, function->where, PCI_COMMAND, 2);

    for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
        if (function->bars[i].assigned)
            command |= function->bars[i].kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    }
    access->write(access, function->where, PCI_COMMAND, 2, command);
}

static void dump(const struct pci_access *access, const struct pci_function *function)
{
    char address[PCI_ADDRESS_TEXT_SIZE];

    pci_address_text(function->where, address);
    printf("%s function %04x:%04x\n", address + 5, function->vendor, function->device);
    for (unsigned offset = 0; offset < (access->extended ? 4096u : 256u); offset += 16) {
        printf("%02x:", offset);
        for (unsigned i = 0; i < 16; i += 4) {
            uint32_t value = access->read(access, function->where, offset + i, 4);
            printf(" %02x %02x %02x %02x", value & 0xff, value >> 8 & 0xff, value >> 16 & 0xff, value >> 24);
        }
        printf("\n");
    }
    printf("\n");
}

static void write_stdout(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    fwrite(text, 1, length, stdout);
}

int main(int argc, char *argv[])
{
    struct machine_host_bridge bridge = {.last_bus = 255};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct pci_found_list found = {0};
    struct printer printer = {write_stdout};
    bool dumping = false;

    if (argc < 3)
        return 2;
    ecam = strtoull(argv[2], NULL, 0);
    for (int i = 3; i < argc; i++) {
        char kind[16];
        struct machine_pci_window window = {0};
        if (sscanf(argv[i], "%15[a-z0-9]:%" SCNi64 ":%" SCNi64 ":%" SCNi64, kind, (int64_t *)&window.bus_address,
                   (int64_t *)&window.cpu_address, (int64_t *)&window.size) == 4) {
            window.kind = strcmp(kind, "io") == 0    ? PCI_WINDOW_IO
                          : strcmp(kind, "m32") == 0 ? PCI_WINDOW_MEMORY32
                                                     : PCI_WINDOW_MEMORY64;
            bridge.windows[bridge.window_count++] = window;
        }
        bridge.firmware_configured |= strcmp(argv[i], "keep") == 0;
        dumping |= strcmp(argv[i], "dump") == 0;
    }
    if (ecam != 0 && ecam < 0x40000000) /* arm64 without high memory */
        bridge.last_bus = 15;
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0 || (qtest = fdopen(fd, "r+")) == NULL) {
        perror(argv[1]);
        return 1;
    }
    struct pci_access access = {.read = qtest_read, .write = qtest_write, .extended = ecam != 0};
    pci_enumerate(&bridge, 0, &access, pci_found_keep, &found);
    pci_assign(&bridge, &access, found.functions, found.count);
    for (size_t i = 0; i < found.count; i++) {
        decode(&access, found.functions[i]);
        if (dumping)
            dump(&access, found.functions[i]);
        else
            pci_report(found.functions[i], &printer);
    }
    pci_found_free(&found);
    fclose(qtest);
    return 0;
}
