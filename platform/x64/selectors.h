/* selectors.h: segments, for assembly and C [Intel SDM 3A §3.4]. The same in the boot GDT and the final one. */
#ifndef X64_SELECTORS_H
#define X64_SELECTORS_H

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TASK 0x18

#define DESCRIPTOR_CODE 0x00af9b000000ffff /* ring 0, 64-bit, execute/read, accessed */
#define DESCRIPTOR_DATA 0x00cf93000000ffff /* ring 0, read/write, accessed */

#endif
