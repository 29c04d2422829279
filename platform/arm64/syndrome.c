/*
 * syndrome.c: an exception in words, from ESR_EL1 and FAR_EL1 [Arm ARM DDI 0487 §D17.2.37]. Pure.
 */
#include <vmos/abi.h>
#include <lib/printf.h>
#include <platform/user.h>

void syndrome_describe(uint64_t syndrome, uint64_t address, char *text, size_t size);
struct user_fault syndrome_user_fault(uint64_t syndrome, uint64_t address);
bool syndrome_is_call(uint64_t syndrome);

enum { /* ESR_EL1.EC */
       CLASS_UNKNOWN = 0x00,
       CLASS_WAIT = 0x01,
       CLASS_FLOATING_POINT = 0x07,
       CLASS_LONG_ACCESS = 0x0a,
       CLASS_BRANCH_TARGET = 0x0d,
       CLASS_ILLEGAL_STATE = 0x0e,
       CLASS_SVC = 0x15,
       CLASS_HVC = 0x16,
       CLASS_SMC = 0x17,
       CLASS_SYSTEM_REGISTER = 0x18,
       CLASS_SVE = 0x19,
       CLASS_POINTER_AUTHENTICATION = 0x1c,
       CLASS_SME = 0x1d,
       CLASS_INSTRUCTION_LOWER = 0x20,
       CLASS_INSTRUCTION = 0x21,
       CLASS_PC_ALIGNMENT = 0x22,
       CLASS_DATA_LOWER = 0x24,
       CLASS_DATA = 0x25,
       CLASS_SP_ALIGNMENT = 0x26,
       CLASS_FLOATING_POINT_TRAP = 0x2c,
       CLASS_SYSTEM_ERROR = 0x2f,
       CLASS_BREAKPOINT_LOWER = 0x30,
       CLASS_BREAKPOINT = 0x31,
       CLASS_STEP_LOWER = 0x32,
       CLASS_STEP = 0x33,
       CLASS_WATCHPOINT_LOWER = 0x34,
       CLASS_WATCHPOINT = 0x35,
       CLASS_BRK = 0x3c,
};

enum {
    CLASS_SHIFT = 26,
    ABORT_STATUS = 0x3f,
    ABORT_ACCESS_FLAG = 0x08,   /* ABORT_STATUS from here to ABORT_NOT_BY_TABLES: an entry is there and says no; */
    ABORT_NOT_BY_TABLES = 0x10, /* below it there is none */
    ABORT_WRITE = 1 << 6,
    ABORT_ADDRESS_INVALID = 1 << 10,
    COMPILER_TRAP = 1, /* the immediate of clang's __builtin_trap() */
};

static const char *class_name(unsigned class)
{
    switch (class) {
    case CLASS_UNKNOWN:
        return "undefined instruction";
    case CLASS_FLOATING_POINT:
        return "floating-point instruction, which the kernel does not use";
    case CLASS_BRANCH_TARGET:
        return "branch to where no branch may go";
    case CLASS_ILLEGAL_STATE:
        return "illegal execution state";
    case CLASS_SVC:
        return "system call from the kernel";
    case CLASS_HVC:
        return "hypervisor call";
    case CLASS_SMC:
        return "monitor call";
    case CLASS_SYSTEM_REGISTER:
        return "access to a system register that is not ours";
    case CLASS_POINTER_AUTHENTICATION:
        return "pointer authentication failure";
    case CLASS_PC_ALIGNMENT:
        return "misaligned program counter";
    case CLASS_SP_ALIGNMENT:
        return "misaligned stack pointer";
    case CLASS_BREAKPOINT:
    case CLASS_STEP:
    case CLASS_WATCHPOINT:
        return "debug exception";
    default:
        return "exception";
    }
}

/* What the fault status says beyond "read", "write" or "execute". */
static const char *status_name(unsigned status)
{
    switch (status) {
    case 0x10:
        return "external abort: nothing answers there";
    case 0x11:
        return "memory tag mismatch";
    case 0x14 ... 0x17:
        return "external abort during the table walk";
    case 0x18:
    case 0x1c ... 0x1f:
        return "memory error";
    case 0x21:
        return "misaligned";
    case 0x30:
        return "conflicting entries in the TLB";
    case 0x31:
        return "unsupported hardware update of a table";
    case 0x34:
    case 0x35:
        return "unsupported access";
    default:
        switch (status >> 2) {
        case 0:
            return "address size fault";
        case 1:
            return "translation fault";
        case 2:
            return "access flag fault";
        case 3:
            return "permission fault";
        default:
            return "unknown fault";
        }
    }
}

static void describe_abort(uint64_t syndrome, uint64_t address, bool instruction, char *text, size_t size)
{
    unsigned status = syndrome & ABORT_STATUS;
    bool write = !instruction && (syndrome & ABORT_WRITE) != 0;
    const char *deed = instruction ? "execution of" : write ? "write to" : "read of";
    const char *place = "memory";
    char where[24] = "an unknown address", level[12] = "";

    if (status < 0x10) { /* [3:2] is the kind, [1:0] the level of the walk */
        snprintf(level, sizeof level, ", level %u", status & 3);
        if (status >> 2 == 1)
            place = "an unmapped page";
        else if (status >> 2 == 3)
            place = write ? "a read-only page" : instruction ? "a page that is not code" : "a forbidden page";
    }
    bool known = (syndrome & ABORT_ADDRESS_INVALID) == 0;
    if (known)
        snprintf(where, sizeof where, "0x%llx", (unsigned long long)address);
    snprintf(text, size, "%s abort at %s: %s %s%s (%s%s)", instruction ? "instruction" : "data", where, deed, place,
             known && address < 4096 ? " through a null pointer" : "", status_name(status), level);
}

/* [Arm ARM §D17.2.37, ISS encoding for an SError interrupt] */
static void describe_system_error(uint64_t syndrome, char *text, size_t size)
{
    static const char *const kinds[] = {"uncontainable", "unrecoverable", "restartable", "recoverable"};
    const char *kind = "of unknown kind";

    if ((syndrome & 1 << 24) != 0)
        kind = "of the implementation's own kind";
    else if ((syndrome & ABORT_STATUS) == 0x11)
        kind = (syndrome >> 10 & 7) < 4 ? kinds[syndrome >> 10 & 7] : "corrected";
    snprintf(text, size, "asynchronous system error, %s (ESR 0x%llx)", kind, (unsigned long long)syndrome);
}

void syndrome_describe(uint64_t syndrome, uint64_t address, char *text, size_t size)
{
    unsigned class = syndrome >> CLASS_SHIFT & 0x3f, immediate = syndrome & 0xffff;

    switch (class) {
    case CLASS_INSTRUCTION:
    case CLASS_INSTRUCTION_LOWER:
        describe_abort(syndrome, address, true, text, size);
        break;
    case CLASS_DATA:
    case CLASS_DATA_LOWER:
        describe_abort(syndrome, address, false, text, size);
        break;
    case CLASS_SYSTEM_ERROR:
        describe_system_error(syndrome, text, size);
        break;
    case CLASS_BRK:
        snprintf(text, size,
                 immediate == COMPILER_TRAP ? "the compiler's trap: code that cannot be reached" : "brk #%u",
                 immediate);
        break;
    default:
        snprintf(text, size, "%s (class 0x%02x, ESR 0x%llx)", class_name(class), class, (unsigned long long)syndrome);
    }
}

/* ---- Caused by user mode ---------------------------------------------------------------------------- */

static const char *user_deed(unsigned class)
{
    switch (class) {
    case CLASS_UNKNOWN:
        return "invalid instruction";
    case CLASS_WAIT:
        return "wfi, which only the kernel may use";
    case CLASS_FLOATING_POINT:
        return "floating-point instruction, which is switched off";
    case CLASS_LONG_ACCESS:
        return "64-byte load or store, which is switched off";
    case CLASS_BRANCH_TARGET:
        return "branch to where no branch may go";
    case CLASS_ILLEGAL_STATE:
        return "illegal execution state";
    case CLASS_SVC:
        return "svc with a number: system calls are svc #0";
    case CLASS_SYSTEM_REGISTER:
        return "system register or instruction that only the kernel may use";
    case CLASS_SVE:
        return "SVE instruction, which is switched off";
    case CLASS_SME:
        return "SME instruction, which is switched off";
    case CLASS_POINTER_AUTHENTICATION:
        return "pointer authentication failure";
    case CLASS_PC_ALIGNMENT:
        return "misaligned program counter";
    case CLASS_SP_ALIGNMENT:
        return "misaligned stack pointer";
    case CLASS_FLOATING_POINT_TRAP:
        return "floating-point exception";
    case CLASS_BREAKPOINT_LOWER:
    case CLASS_STEP_LOWER:
    case CLASS_WATCHPOINT_LOWER:
        return "debug exception";
    case CLASS_BRK:
        return "breakpoint (brk)";
    default:
        return "exception of a kind that is not known";
    }
}

struct user_fault syndrome_user_fault(uint64_t syndrome, uint64_t address)
{
    unsigned class = syndrome >> CLASS_SHIFT & 0x3f, status = syndrome & ABORT_STATUS;
    struct user_fault fault = {.kind = USER_FAULT_OTHER, .address = address};

    if (class != CLASS_INSTRUCTION_LOWER && class != CLASS_DATA_LOWER) {
        fault.what = user_deed(class);
        return fault;
    }
    fault.what = status_name(status);
    if (status >= ABORT_NOT_BY_TABLES)
        return fault;
    fault.kind = class == CLASS_INSTRUCTION_LOWER ? USER_FAULT_EXECUTE
                 : (syndrome & ABORT_WRITE) != 0  ? USER_FAULT_WRITE
                                                  : USER_FAULT_READ;
    fault.mapped = status >= ABORT_ACCESS_FLAG;
    return fault;
}

bool syndrome_is_call(uint64_t syndrome)
{
    return (syndrome >> CLASS_SHIFT & 0x3f) == CLASS_SVC;
}
