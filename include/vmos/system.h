/*
 * system.h: the system calls, as a process makes them. docs/abi.md has a section for each: what it does, which rights
 * it wants, its errors.
 *
 * vmos_NAME gives the status, and the call's value by its last argument; it is 0 when the call failed.
 */
#ifndef VMOS_SYSTEM_H
#define VMOS_SYSTEM_H

#include <vmos/abi.h>

struct system_result {
    uint64_t status, value;
};

/* Any call by its number, with any arguments. */
struct system_result system_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                                 uint64_t f);

/* lib/user/ARCH/calls.c: one for each of SYSTEM_CALLS. */
struct system_result system_abi_version(void);
struct system_result system_handle_close(handle object);
struct system_result system_handle_duplicate(handle object, uint64_t rights, uint64_t badge);
struct system_result system_handle_revoke(handle object);
struct system_result system_handle_info(handle object);
struct system_result system_object_info(handle object, void *buffer, uint64_t size);
struct system_result system_endpoint_create(void);
struct system_result system_ipc_call(handle endpoint, uint64_t message, uint64_t deadline_ns);
struct system_result system_ipc_reply_receive(handle reply, uint64_t message, handle endpoint, handle notification,
                                              uint64_t mask, uint64_t deadline_ns);
struct system_result system_notification_create(void);
struct system_result system_notification_signal(handle notification, uint64_t bits);
struct system_result system_notification_wait(handle notification, uint64_t mask, uint64_t deadline_ns);
struct system_result system_notification_alarm(handle notification, uint64_t bits, uint64_t deadline_ns);
struct system_result system_memory_create(uint64_t size);
struct system_result system_memory_map(handle process, handle memory, uint64_t address, uint64_t offset, uint64_t size,
                                       uint64_t rights);
struct system_result system_memory_unmap(handle process, uint64_t address, uint64_t size);
struct system_result system_process_create(const struct process_parameters *parameters, uint64_t size);
struct system_result system_process_give(handle process, handle object, uint64_t rights);
struct system_result system_process_kill(handle process, uint64_t code);
struct system_result system_process_watch(handle process, handle notification, uint64_t bits);
struct system_result system_thread_create(handle process, const struct thread_parameters *parameters, uint64_t size);
struct system_result system_thread_configure(handle thread, const struct thread_parameters *parameters, uint64_t size);
struct system_result system_thread_exit(void);
struct system_result system_thread_yield(void);
struct system_result system_clock_read(handle clock);
struct system_result system_console_write(handle console, const char *text, uint64_t size);

static inline enum status system_value(struct system_result result, uint64_t *value)
{
    *value = result.value;
    return (enum status)result.status;
}

/* ---- Any object ---------------------------------------------------------------------------------------------------
 */

static inline enum status vmos_abi_version(uint64_t *version)
{
    return system_value(system_abi_version(), version);
}

static inline enum status vmos_handle_close(handle object)
{
    return (enum status)system_handle_close(object).status;
}

static inline enum status vmos_handle_duplicate(handle object, uint32_t rights, uint64_t badge, handle *copy)
{
    return system_value(system_handle_duplicate(object, rights, badge), copy);
}

static inline enum status vmos_handle_revoke(handle object)
{
    return (enum status)system_handle_revoke(object).status;
}

static inline enum status vmos_handle_info(handle object, enum object_type *type, uint32_t *rights)
{
    struct system_result result = system_handle_info(object);
    *type = (enum object_type)(result.value & 0xff);
    *rights = (uint32_t)(result.value >> 8);
    return (enum status)result.status;
}

static inline enum status vmos_object_info(handle object, void *buffer, size_t size, uint64_t *written)
{
    return system_value(system_object_info(object, buffer, size), written);
}

/* ---- Endpoints and notifications ----------------------------------------------------------------------------------
 */

static inline enum status vmos_endpoint_create(handle *endpoint)
{
    return system_value(system_endpoint_create(), endpoint);
}

static inline enum status vmos_ipc_call(handle endpoint, uint64_t message, uint64_t deadline_ns, uint64_t *answer)
{
    return system_value(system_ipc_call(endpoint, message, deadline_ns), answer);
}

static inline enum status vmos_ipc_reply_receive(handle reply, uint64_t message, handle endpoint, handle notification,
                                                 uint64_t mask, uint64_t deadline_ns, uint64_t *received)
{
    return system_value(system_ipc_reply_receive(reply, message, endpoint, notification, mask, deadline_ns), received);
}

static inline enum status vmos_notification_create(handle *notification)
{
    return system_value(system_notification_create(), notification);
}

static inline enum status vmos_notification_signal(handle notification, uint64_t bits)
{
    return (enum status)system_notification_signal(notification, bits).status;
}

static inline enum status vmos_notification_wait(handle notification, uint64_t mask, uint64_t deadline_ns,
                                                 uint64_t *taken)
{
    return system_value(system_notification_wait(notification, mask, deadline_ns), taken);
}

static inline enum status vmos_notification_alarm(handle notification, uint64_t bits, uint64_t deadline_ns)
{
    return (enum status)system_notification_alarm(notification, bits, deadline_ns).status;
}

/* ---- Memory -------------------------------------------------------------------------------------------------------
 */

static inline enum status vmos_memory_create(uint64_t size, handle *memory)
{
    return system_value(system_memory_create(size), memory);
}

static inline enum status vmos_memory_map(handle process, handle memory, uint64_t address, uint64_t offset,
                                          uint64_t size, uint32_t rights, uint64_t *mapped)
{
    return system_value(system_memory_map(process, memory, address, offset, size, rights), mapped);
}

static inline enum status vmos_memory_unmap(handle process, uint64_t address, uint64_t size)
{
    return (enum status)system_memory_unmap(process, address, size).status;
}

/* ---- Processes and threads ----------------------------------------------------------------------------------------
 */

static inline enum status vmos_process_create(const struct process_parameters *parameters, handle *process)
{
    return system_value(system_process_create(parameters, sizeof *parameters), process);
}

static inline enum status vmos_process_give(handle process, handle object, uint32_t rights, handle *there)
{
    return system_value(system_process_give(process, object, rights), there);
}

static inline enum status vmos_process_kill(handle process, uint64_t code)
{
    return (enum status)system_process_kill(process, code).status;
}

static inline enum status vmos_process_watch(handle process, handle notification, uint64_t bits)
{
    return (enum status)system_process_watch(process, notification, bits).status;
}

static inline enum status vmos_thread_create(handle process, const struct thread_parameters *parameters, handle *thread)
{
    return system_value(system_thread_create(process, parameters, sizeof *parameters), thread);
}

static inline enum status vmos_thread_configure(handle thread, const struct thread_parameters *parameters)
{
    return (enum status)system_thread_configure(thread, parameters, sizeof *parameters).status;
}

static inline enum status vmos_thread_exit(void)
{
    return (enum status)system_thread_exit().status;
}

static inline enum status vmos_thread_yield(void)
{
    return (enum status)system_thread_yield().status;
}

/* ---- Clock and console --------------------------------------------------------------------------------------------
 */

static inline enum status vmos_clock_read(handle clock, uint64_t *now_ns)
{
    return system_value(system_clock_read(clock), now_ns);
}

static inline enum status vmos_console_write(handle console, const char *text, size_t size, uint64_t *taken)
{
    return system_value(system_console_write(console, text, size), taken);
}

#endif
