/*
 * selftest.h: what the kernel can prove about itself and its devices.
 *
 * Each prints one line, `selftest NAME: pass|fail|skip  DETAIL`, and after the last
 * `selftest: N passed, N failed, N skipped`.
 */
#ifndef KERNEL_SELFTEST_H
#define KERNEL_SELFTEST_H

#include <stdbool.h>
#include <stdint.h>

#include <stddef.h>

enum verdict { SELFTEST_PASS, SELFTEST_FAIL, SELFTEST_SKIP };

struct selftest_result {
    enum verdict verdict;
    char detail[200];
};

/* Sets the verdict and its sentence. */
void selftest_is(struct selftest_result *result, enum verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As kernel_wait, for what may come about on another CPU without a word to this one, which sleeps: looks each
 * millisecond. */
bool selftest_wait(bool (*done)(void *context), void *context, uint64_t deadline_ns);

/* Runs the named ones (comma-separated; empty: all) and returns how many failed. An unknown name fails. */
unsigned selftest_run(const char *names);

/* kernel/selftest/NAME.c */
void selftest_console(struct selftest_result *result);
void selftest_memory(struct selftest_result *result);
void selftest_heap(struct selftest_result *result);
void selftest_timer(struct selftest_result *result);
void selftest_interrupt(struct selftest_result *result);
void selftest_discovery(struct selftest_result *result);
void selftest_net(struct selftest_result *result);
void selftest_blk(struct selftest_result *result);
void selftest_rng(struct selftest_result *result);
void selftest_pci(struct selftest_result *result);
void selftest_msi(struct selftest_result *result);
void selftest_smp(struct selftest_result *result);
void selftest_nvme(struct selftest_result *result);
void selftest_process(struct selftest_result *result);
void selftest_ipc(struct selftest_result *result);

#endif
