# Tests of what platform/arm64 drives and of how it words exceptions. Its system registers and barriers are replaced.
HOST_TESTS += arm64_its arm64_gicv3 arm64_syndrome
arm64_its_SOURCES      := platform/arm64/gic.c
arm64_its_CFLAGS       := -Itest/host/arm64
arm64_its_DEPENDS      := platform/arm64/its.c
arm64_gicv3_SOURCES    := platform/arm64/gicv3.c platform/arm64/gic.c platform/arm64/v2m.c
arm64_gicv3_CFLAGS     := -Itest/host/arm64
arm64_syndrome_SOURCES := platform/arm64/syndrome.c
arm64_syndrome_CFLAGS  := -Itest/host/arm64 -Iplatform/arm64
