/*
 * pci_hostile.h: a configuration space that lies, beside an honest function that must be found unharmed whatever
 * the other does. Each case sets a switch of the model, expects something of what is found, and one sentence.
 */
#ifndef PCI_HOSTILE_H
#define PCI_HOSTILE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <machine/pci.h>
#include <machine/pci_reg.h>
#include <model/pci_config.h>
#include <stdio.h>
#include <string.h>

#include "host_log.h"
#include "pci_found.h"

#define GIB (UINT64_C(1) << 30)

struct scene {
    struct pci_model model;
    struct pci_found_list found;
    struct machine_host_bridge bridge;
    struct machine machine;
    struct machine_room room;
};

#define LIAR   (5 << 3)  /* devfn of the function under test */
#define HONEST (31 << 3) /* and of the one beside it */

struct hostile_case {
    const char *id;
    const char *what;
    void (*set)(struct scene *scene, struct pci_model_function *liar);
    void (*expect)(struct scene *scene, const struct pci_function *liar); /* liar: NULL when it was not found */
    const char *sentence;                                                 /* NULL: no warning at all */
};

static inline void scene_init(struct scene *scene)
{
    *scene = (struct scene){.bridge = {.last_bus = 255,
                                       .ecam = 0xb0000000,
                                       .window_count = 3,
                                       .windows = {{PCI_WINDOW_IO, false, 0, 0x3eff0000, 0x10000},
                                                   {PCI_WINDOW_MEMORY32, false, 0x10000000, 0x10000000, 0x2eff0000},
                                                   {PCI_WINDOW_MEMORY64, false, 512 * GIB, 512 * GIB, 512 * GIB}}}};
    pci_model_init(&scene->model);
    int liar = pci_model_add(&scene->model, PCI_MODEL_ROOT, LIAR, 0x1234, 0x5678, 0x020000);
    int honest = pci_model_add(&scene->model, PCI_MODEL_ROOT, HONEST, 0x1af4, 0x1000, 0x020000);
    pci_model_bar(pci_model_at(&scene->model, honest), 0, PCI_BAR_MEMORY32, false, 0x1000);
    pci_model_set(pci_model_at(&scene->model, honest), PCI_BAR0, 4, 0x30000000);
    assert_int_equal(liar, 0);
}

static inline void scene_run(struct scene *scene)
{
    host_log_clear();
    pci_enumerate(&scene->bridge, 0, &scene->model.access, pci_found_keep, &scene->found);
    machine_use_room(&scene->machine, &scene->room);
    scene->machine.host_bridge_count = 1;
    scene->machine.host_bridges[0] = scene->bridge;
    scene->machine.memory_count = 1;
    scene->machine.memory[0] = (struct memory_range){.size = 128 << 20};
    scene->machine.io_apic_count = 1;
    scene->machine.io_apics[0].base = 0xfec00000;
    pci_check_placement(&scene->machine, scene->found.functions, scene->found.count);
    pci_assign(&scene->bridge, &scene->model.access, scene->found.functions, scene->found.count);
    assert_int_equal(scene->model.strays, 0);
}

static inline const struct pci_function *find_device(const struct scene *scene, uint8_t devfn)
{
    for (size_t i = 0; i < scene->found.count; i++) {
        if (scene->found.functions[i]->where.bus == scene->bridge.first_bus &&
            scene->found.functions[i]->where.devfn == devfn)
            return scene->found.functions[i];
    }
    return NULL;
}

static inline void run_cases(const struct hostile_case cases[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct scene scene;
        scene_init(&scene);
        cases[i].set(&scene, pci_model_at(&scene.model, 0));
        scene_run(&scene);
        print_message("           %s %s\n", cases[i].id, cases[i].what);
        cases[i].expect(&scene, find_device(&scene, LIAR));
        if (cases[i].sentence == NULL && host_log_count(LOG_WARN) != 0)
            fail_msg("unexpected: %s", host_log_text());
        if (cases[i].sentence != NULL && !host_log_has(cases[i].sentence))
            fail_msg("missing \"%s\" in: %s", cases[i].sentence, host_log_text());
        const struct pci_function *honest = find_device(&scene, HONEST);
        assert_non_null(honest);
        assert_int_equal(honest->bars[0].size, 0x1000);
        pci_model_free(&scene.model);
        pci_found_free(&scene.found);
    }
}

#endif
