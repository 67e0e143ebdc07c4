/*
 * The keeper program's bytes (built as src/run/kinglet-keeper), executed from a
 * sealed memory file: no file on the disk has to match this binary's version,
 * and no container can reach it.
 */
#include "run/internal.h"

__asm__(".section .rodata\n"
	".balign 16\n"
	".globl keeper_blob\n"
	".globl keeper_blob_end\n"
	"keeper_blob:\n"
	".incbin \"src/run/kinglet-keeper\"\n"
	"keeper_blob_end:\n"
	".byte 0\n"
	".previous\n");
