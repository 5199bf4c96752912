// One source, compiled for several instruction sets; the processor decides which one runs.
//
//   TARGET_BEGIN_AVX2 ... TARGET_END   compiles what stands between for AVX2 with fused multiply-adds
//   has_avx2()                         whether this processor has them; false where no such code was made

#pragma once

#if defined(__x86_64__)
#define WEAKSEG_AVX2 1
#if defined(__clang__)
#define TARGET_BEGIN_AVX2 _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,bmi2\"))), apply_to = function)")
#define TARGET_END _Pragma("clang attribute pop")
#else
#define TARGET_BEGIN_AVX2 _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,bmi2\")")
#define TARGET_END _Pragma("GCC pop_options")
#endif
static inline bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}
#else
static inline bool has_avx2() { return false; }
#endif
