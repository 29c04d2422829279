/* msix_table.c: an MSI-X table in device memory. */
#include "msix_table.h"

uint32_t msix_table_read(const volatile uint8_t *where)
{
    return *(const volatile uint32_t *)where;
}

void msix_table_write(volatile uint8_t *where, uint32_t value)
{
    *(volatile uint32_t *)where = value;
}
