/*
 * The processor that this program was built for, as Go and the OCI name it:
 * node labels, /version and the choice among an image's platforms agree on it.
 */
#ifndef BASE_ARCH_H
#define BASE_ARCH_H

#if defined(__x86_64__)
#define ARCH_NAME "amd64"
#elif defined(__aarch64__)
#define ARCH_NAME "arm64"
#elif defined(__arm__)
#define ARCH_NAME "arm"
#elif defined(__i386__)
#define ARCH_NAME "386"
#elif defined(__riscv)
#define ARCH_NAME "riscv64"
#elif defined(__powerpc64__)
#define ARCH_NAME "ppc64le"
#elif defined(__s390x__)
#define ARCH_NAME "s390x"
#elif defined(__loongarch64)
#define ARCH_NAME "loong64"
#else
#error "name this processor as Go does"
#endif

#endif
