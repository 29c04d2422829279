/* pci_found.h: keeps what pci_enumerate finds, as a device manager does. */
#ifndef PCI_FOUND_H
#define PCI_FOUND_H

#include <machine/pci.h>
#include <stdlib.h>

struct pci_found_list {
    struct pci_function **functions;
    size_t count, capacity, limit; /* limit: stop after so many; 0: never */
};

static bool pci_found_keep(void *context, const struct pci_function *function)
{
    struct pci_found_list *list = context;

    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        list->functions = realloc(list->functions, list->capacity * sizeof *list->functions);
    }
    list->functions[list->count] = malloc(sizeof *function);
    *list->functions[list->count++] = *function;
    return list->limit == 0 || list->count < list->limit;
}

static inline void pci_found_free(struct pci_found_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->functions[i]);
    free(list->functions);
    *list = (struct pci_found_list){0};
}

#endif
