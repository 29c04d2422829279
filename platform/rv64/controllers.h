/*
 * controllers.h: what interrupt.c asks of the interrupt controllers.
 *
 * Wires arrive at PLICs and APLICs, messages at a hart's IMSIC. An APLIC either interrupts a hart itself or turns each
 * wire into a message. Wires are routed to the boot hart; messages as well, until they are directed elsewhere. All
 * calls are made with interrupts disabled; those that change routes with their lock held.
 */
#ifndef CONTROLLERS_H
#define CONTROLLERS_H

#include <vmos/machine.h>
#include <lib/printf.h>

#define NO_ROUTE  UINT32_MAX
#define IPI_ROUTE (UINT32_MAX - 1) /* imsic_claim: another hart has interrupted */

/* A turn of the interrupt handler hands on no more than this, so that a line that never drops does not keep
 * the timer's interrupt out. */
enum { INTERRUPTS_PER_TURN = 32 };

/* A kind of controller of wires. `index` is its place in machine.plics or machine.aplics, a source is a number
 * from 1 to its source count. */
struct wire_controller {
    /* Masks every source and readies delivery to machine->cpus[cpu]; false, and a sentence, when it cannot. */
    bool (*init)(const struct machine *machine, uint32_t index, uint32_t cpu);
    /* STATUS_NOT_FOUND when the source is not there. The source stays masked. */
    enum status (*attach)(uint32_t index, uint32_t source, const struct machine_line *line, uint32_t route);
    void (*release)(uint32_t index, uint32_t source);
    void (*mask)(uint32_t index, uint32_t source);
    void (*unmask)(uint32_t index, uint32_t source);
    /* Hands on what has arrived; the number of interrupts. */
    unsigned (*deliver)(uint32_t index);
};
extern const struct wire_controller plic, aplic;

/* trap.c: see local.h */
bool device_answers(const volatile void *address, unsigned width);

/* An APLIC's message has come and its handler has run: a level that is still asserted is sent again. */
void aplic_message_handled(uint32_t index, uint32_t source);

/* ---- imsic.c: a route's identity at the interrupt file is its number + 1 ------------------------------------- */

/* False when the machine or the hart has none, or when it does not work. */
bool imsic_init(const struct machine *machine, uint32_t cpu);
struct cpu;
bool imsic_prepare_cpu(const struct machine *machine, struct cpu *cpu); /* before that hart starts; false: no memory */
bool imsic_init_cpu(const struct machine *machine, uint32_t cpu);       /* on each further hart */
bool imsic_present(void);
uint64_t imsic_address(unsigned cpu); /* where messages to that CPU are written; 0: it takes none */
/* Interrupts that hart; false when it cannot be done so. */
bool imsic_interrupt(const struct cpu *to);
uint32_t imsic_identity(uint32_t route); /* what is written; 0 when there are not so many */
void imsic_mask(uint32_t route);
void imsic_unmask(uint32_t route);
void imsic_forget(uint32_t route); /* drops what is pending */
/* The route whose message is next, acknowledged; NO_ROUTE when there is none. */
uint32_t imsic_claim(void);
/* After claims: makes the file's interrupt agree with what is pending. */
void imsic_settle(void);
/* What an APLIC calls the hart: its group, then its number in the group [AIA 1.0 §4.9.1]. */
uint32_t imsic_hart_index(void);

#endif
