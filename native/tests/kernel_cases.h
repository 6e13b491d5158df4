// Walks a kernel's list: the reference gives the expected bits, every other kernel that this CPU has must match them.
#ifndef LIMBECK_TESTS_KERNEL_CASES_H_
#define LIMBECK_TESTS_KERNEL_CASES_H_

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "kernels/kernels.h"
#include "tests/check.h"

namespace limbeck::test {

// The kernels of the list that this CPU can run. With LIMBECK_ISA set, only the one that a model would run then; the
// program ends with 77, which ctest counts as skipped, where the CPU lacks it.
template <typename Function>
std::vector<Kernel<Function>> Runnable(const KernelList<Function>& list) {
  std::vector<Kernel<Function>> found;
  if (const char* forced = std::getenv("LIMBECK_ISA")) {
    try {
      found.push_back(list.Best(ChooseIsa(forced)));
    } catch (const Error& error) {
      std::printf("skipped: %s\n", error.what());
      std::exit(77);
    }
    return found;
  }
  const std::vector<Isa> available = AvailableIsas();
  for (const Kernel<Function>& kernel : list) {
    if (std::find(available.begin(), available.end(), kernel.isa) != available.end()) found.push_back(kernel);
  }
  return found;
}

template <typename Function>
Function Reference(const KernelList<Function>& list) {
  const Kernel<Function>& last = list.first[list.count - 1];
  CHECK_THAT(last.isa == Isa::kReference, "%s is listed last but is no reference", last.name);
  return last.run;
}

template <typename Function>
void Report(const std::vector<Kernel<Function>>& kernels, int64_t cases) {
  CHECK_THAT(cases > 0, "no case was run");
  for (const Kernel<Function>& kernel : kernels) {
    std::printf("%s: %lld cases ok\n", kernel.name, static_cast<long long>(cases));
  }
}

}  // namespace limbeck::test

#endif  // LIMBECK_TESTS_KERNEL_CASES_H_
