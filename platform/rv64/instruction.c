/*
 * instruction.c: why a user program may not have an instruction, from its bits [RISC-V Unprivileged ISA 20191213
 * ch. 24; Vector Extension 1.0 §5]. Pure.
 */
#include <vmos/abi.h>

const char *instruction_refused(uint32_t instruction);

enum { /* bits 6:0 */
       OPCODE_LOAD_FP = 0x07,
       OPCODE_STORE_FP = 0x27,
       OPCODE_FMADD = 0x43,
       OPCODE_FMSUB = 0x47,
       OPCODE_FNMSUB = 0x4b,
       OPCODE_FNMADD = 0x4f,
       OPCODE_FP = 0x53,
       OPCODE_VECTOR = 0x57,
       OPCODE_SYSTEM = 0x73,
};

enum { /* a 16-bit instruction's bits 15:13 and 1:0 */
       COMPRESSED_FLD = 1,
       COMPRESSED_FSD = 5,
};

static const char vector[] = "a vector instruction, and the vector unit is off",
                  floating[] = "a floating-point instruction that this CPU does not have",
                  invalid[] = "invalid instruction";

static const char *compressed(uint32_t instruction)
{
    unsigned quadrant = instruction & 3, function = instruction >> 13 & 7;

    if (quadrant != 1 && (function == COMPRESSED_FLD || function == COMPRESSED_FSD))
        return floating;
    return invalid;
}

/* vstart vxsat vxrm vcsr, vl vtype vlenb; fflags frm fcsr */
static const char *control_register(unsigned number)
{
    if ((number >= 0x008 && number <= 0x00f) || (number >= 0xc20 && number <= 0xc22))
        return vector;
    if (number >= 0x001 && number <= 0x003)
        return floating;
    return "access to a control register that is not a user's";
}

const char *instruction_refused(uint32_t instruction)
{
    unsigned function = instruction >> 12 & 7;

    if ((instruction & 3) != 3)
        return compressed(instruction & 0xffff);
    switch (instruction & 0x7f) {
    case OPCODE_VECTOR:
        return vector;
    case OPCODE_LOAD_FP: /* by the width: 16 to 128 bits, else elements of a vector */
    case OPCODE_STORE_FP:
        return function >= 1 && function <= 4 ? floating : vector;
    case OPCODE_FMADD:
    case OPCODE_FMSUB:
    case OPCODE_FNMSUB:
    case OPCODE_FNMADD:
    case OPCODE_FP:
        return floating;
    case OPCODE_SYSTEM:
        return function == 0 || function == 4 ? "privileged instruction" : control_register(instruction >> 20);
    default:
        return invalid;
    }
}
