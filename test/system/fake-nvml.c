/*
 * NVIDIA's management library as far as we call it, for machines without a GPU. What it pretends is chosen when
 * it is compiled: -DGPUS=n, -DINIT=code, -DUNIFIED, -DMIG, -DLOST=index, -DOLD_DRIVER. No header is needed.
 */
#ifndef GPUS
#define GPUS 2
#endif
#ifndef INIT
#define INIT 0
#endif
#ifndef LOST
#define LOST -1
#endif

typedef unsigned long long u64;
typedef struct { int index; int mig; } *device;
typedef struct { u64 total, free, used; } memory_v1;
typedef struct { unsigned version; u64 total, reserved, free, used; } memory_v2;

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, GPU_IS_LOST = 15, VERSION_MISMATCH = 25 };
static const u64 GIB = 1ull << 30;
static struct { int index; int mig; } gpus[8], parts[2];
static int started;

int nvmlInit_v2(void) { started = INIT == 0; return INIT; }
int nvmlShutdown(void) { started = 0; return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = GPUS; return started ? SUCCESS : 1; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device *out) {
  if ((int)index == LOST) return GPU_IS_LOST;
  gpus[index].index = index;
  *out = (device)&gpus[index];
  return SUCCESS;
}

int nvmlDeviceGetName(device gpu, char *name, unsigned length) {
  static const char text[] = "NVIDIA Fake 0";
  if (length < sizeof text) return 7;
  for (unsigned at = 0; at < sizeof text; at++) name[at] = text[at];
  name[12] = '0' + gpu->index;
  return SUCCESS;
}

/* GPU n has 24 GiB, 1 of them reserved by the driver, n + 1 of them used; a part of one 10, of which 4 are used. */
static int refusal(device gpu) {
#ifdef UNIFIED
  return NOT_SUPPORTED;
#endif
#ifdef MIG
  if (!gpu->mig) return NO_PERMISSION;
#endif
  return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(device gpu, memory_v1 *memory) {
  if (refusal(gpu)) return refusal(gpu);
  memory->total = (gpu->mig ? 10 : 24) * GIB;
  memory->used = (gpu->mig ? 4 : gpu->index + 2) * GIB;
  memory->free = memory->total - memory->used;
  return SUCCESS;
}

#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(device gpu, memory_v2 *memory) {
  if (memory->version != (sizeof(memory_v2) | 2u << 24)) return VERSION_MISMATCH;
  if (refusal(gpu)) return refusal(gpu);
  memory->total = (gpu->mig ? 10 : 24) * GIB;
  memory->reserved = (gpu->mig ? 0 : 1) * GIB;
  memory->used = (gpu->mig ? 4 : gpu->index + 1) * GIB;
  memory->free = memory->total - memory->reserved - memory->used;
  return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(device gpu, unsigned *count) {
#ifdef MIG
  *count = 7;
  return SUCCESS;
#else
  return NOT_SUPPORTED;
#endif
}

int nvmlDeviceGetMigDeviceHandleByIndex(device gpu, unsigned index, device *out) {
  /* Places may be empty: here only the first and the third are taken. */
  if (index != 0 && index != 2) return NOT_FOUND;
  parts[index / 2].mig = 1;
  *out = (device)&parts[index / 2];
  return SUCCESS;
}
#endif
