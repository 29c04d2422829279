/* version.c: what the build says about itself. */
#include "kernel.h"

const char vmos_version[] = VMOS_VERSION;
const char vmos_commit[] = VMOS_COMMIT;
