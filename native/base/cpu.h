// What this process may use: instruction sets and CPUs. Looked up when a model is loaded, never at import.
#ifndef LIMBECK_BASE_CPU_H_
#define LIMBECK_BASE_CPU_H_

#include <string>
#include <vector>

#include "base/types.h"

namespace limbeck {

const char* IsaName(Isa isa);

// Instruction sets that this build holds and this CPU and its operating system support, best first.
std::vector<Isa> AvailableIsas();

// The named one, or the best for an empty name. Throws Error when the name is unknown or the CPU lacks it.
Isa ChooseIsa(const std::string& name);

// Whether the CPU has AVX512-BF16, which the bf16 kernels need beside AVX-512 VNNI.
bool HasBf16();

// CPUs in the affinity mask, bounded by the cgroup's quota (rounded up); at least 1.
int AvailableCpus();

}  // namespace limbeck

#endif  // LIMBECK_BASE_CPU_H_
