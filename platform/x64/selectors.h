/*
 * selectors.h: segments, for assembly and C [Intel SDM 3A §3.4]. The kernel's are the same in the boot GDT and the
 * final one. SYSCALL and SYSRET want code and data of either side next to each other, the kernel's in this order and
 * the user's in that [Intel SDM 3A §5.8.8].
 */
#ifndef X64_SELECTORS_H
#define X64_SELECTORS_H

#define SELECTOR_CODE      0x08
#define SELECTOR_DATA      0x10
#define SELECTOR_USER_DATA (0x18 | 3)
#define SELECTOR_USER_CODE (0x20 | 3)
#define SELECTOR_TASK      0x28

#define DESCRIPTOR_CODE      0x00af9b000000ffff /* ring 0, 64-bit, execute/read, accessed */
#define DESCRIPTOR_DATA      0x00cf93000000ffff /* ring 0, read/write, accessed */
#define DESCRIPTOR_USER_CODE 0x00affb000000ffff /* the same for ring 3 */
#define DESCRIPTOR_USER_DATA 0x00cff3000000ffff

#endif
