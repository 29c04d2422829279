/*
 * msix_table.h: the two accesses that reach an MSI-X table, whose entries take aligned 32-bit accesses
 * [PCI Express Base 6.0 §7.7.2]. A host test puts a model here.
 */
#ifndef AUTHORITY_MSIX_TABLE_H
#define AUTHORITY_MSIX_TABLE_H

#include <stdint.h>

uint32_t msix_table_read(const volatile uint8_t *where);
void msix_table_write(volatile uint8_t *where, uint32_t value);

#endif
