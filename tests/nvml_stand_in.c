/* A driver with two GPUs, for the tests: what pynvml calls, and fixed answers. */
#include <string.h>

typedef struct { unsigned int gpu, memory; } Utilization;
typedef struct { unsigned long long total, free, used; } Memory;

static int gpus[2] = {0, 1};

int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(unsigned int flags) { (void)flags; return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { (void)code; return "GPU is lost"; }

int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    *device = &gpus[index];
    return 0;
}

int nvmlDeviceGetUUID(void *device, char *name, unsigned int length) {
    strncpy(name, *(int *)device ? "GPU-bbbb-1" : "GPU-aaaa-0", length);
    return 0;
}

int nvmlDeviceGetUtilizationRates(void *device, Utilization *rates) {
    rates->gpu = *(int *)device ? 75 : 20;
    rates->memory = 1;
    return 0;
}

int nvmlDeviceGetMemoryInfo(void *device, Memory *memory) {
    memory->total = 1000;
    memory->used = *(int *)device ? 500 : 125;
    memory->free = memory->total - memory->used;
    return 0;
}
