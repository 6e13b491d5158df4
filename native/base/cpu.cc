#include "base/cpu.h"

#include <sched.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"

namespace limbeck {
namespace {

constexpr Isa kBestFirst[] = {Isa::kAvx512Vnni, Isa::kAvxVnni, Isa::kAvx2, Isa::kReference};

#if defined(__x86_64__)
struct CpuidRegisters {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
};
CpuidRegisters Cpuid(unsigned leaf, unsigned subleaf) {
  CpuidRegisters found;
  __get_cpuid_count(leaf, subleaf, &found.a, &found.b, &found.c, &found.d);  // zeros where there is no such leaf
  return found;
}
// What gcc 12 or clang 14 has no name for in __builtin_cpu_supports.
bool HasF16c() { return (Cpuid(1, 0).c >> 29 & 1) != 0; }
bool HasAvxVnni() { return (Cpuid(7, 1).a >> 4 & 1) != 0; }
bool HasAvx512Bf16() { return (Cpuid(7, 1).a >> 5 & 1) != 0; }
#endif

bool Supports(Isa isa) {
  switch (isa) {
    case Isa::kReference:
      return true;
#if defined(__x86_64__)
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 && HasF16c();
    case Isa::kAvxVnni:
      return Supports(Isa::kAvx2) && HasAvxVnni();
    case Isa::kAvx512Vnni:
      return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
             __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
             __builtin_cpu_supports("avx512vnni") != 0;
#else
    default:
      return false;
#endif
  }
  return false;
}

// A small file as text; empty where there is none. No iostreams: with libstdc++ linked in statically, beside the
// shared one that other extension modules load, their number formatting fails without a word.
std::string ReadText(const std::string& path) {
  std::string text;
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return text;
  char buffer[4096];
  for (size_t count; (count = std::fread(buffer, 1, sizeof(buffer), file)) > 0;) text.append(buffer, count);
  std::fclose(file);
  return text;
}

// CPUs' worth of time that a quota file allows, or 0 where it sets no limit or does not exist.
double ReadQuotaV2(const std::string& path) {
  const std::string text = ReadText(path);  // "max 100000" or "150000 100000"
  char* rest = nullptr;
  const double quota = std::strtod(text.c_str(), &rest);
  const double period = std::strtod(rest, nullptr);
  return quota > 0 && period > 0 ? quota / period : 0;
}

double ReadQuotaV1(const std::string& directory) {
  const double quota = std::strtod(ReadText(directory + "/cpu.cfs_quota_us").c_str(), nullptr);
  const double period = std::strtod(ReadText(directory + "/cpu.cfs_period_us").c_str(), nullptr);
  return quota > 0 && period > 0 ? quota / period : 0;
}

// The tightest quota on the way from this process's control group up to the root; 0: none.
double CgroupQuota() {
  double tightest = 0;
  const auto note = [&tightest](double cpus) {
    if (cpus > 0 && (tightest == 0 || cpus < tightest)) tightest = cpus;
  };
  const std::string groups = ReadText("/proc/self/cgroup");
  for (size_t start = 0; start < groups.size();) {
    const size_t end = std::min(groups.find('\n', start), groups.size());
    const std::string line = groups.substr(start, end - start);
    start = end + 1;
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers(1, ',');
    controllers.append(line, first + 1, second - first - 1).push_back(',');
    const bool v2 = controllers == ",,";
    if (!v2 && controllers.find(",cpu,") == std::string::npos) continue;
    for (std::string group = line.substr(second + 1);;) {
      if (group == "/") group.clear();
      note(v2 ? ReadQuotaV2("/sys/fs/cgroup" + group + "/cpu.max") : ReadQuotaV1("/sys/fs/cgroup/cpu" + group));
      if (group.empty()) break;
      group.resize(group.rfind('/'));
    }
  }
  return tightest;
}

}  // namespace

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kReference:
      return "reference";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvxVnni:
      return "avxvnni";
    case Isa::kAvx512Vnni:
      return "avx512vnni";
  }
  return "unknown";
}

std::vector<Isa> AvailableIsas() {
  std::vector<Isa> found;
  for (Isa isa : kBestFirst) {
    if (Supports(isa)) found.push_back(isa);
  }
  return found;
}

Isa ChooseIsa(const std::string& name) {
  const std::vector<Isa> available = AvailableIsas();
  if (name.empty()) return available.front();
  std::string choices;
  for (Isa isa : available) {
    if (name == IsaName(isa)) return isa;
    choices += (choices.empty() ? "" : ", ") + std::string(IsaName(isa));
  }
  const bool known =
      std::any_of(std::begin(kBestFirst), std::end(kBestFirst), [&name](Isa isa) { return name == IsaName(isa); });
  throw Error("instruction set '" + name + (known ? "' is not available on this CPU" : "' is not known") +
              "; available here: " + choices);
}

bool HasBf16() {
#if defined(__x86_64__)
  return Supports(Isa::kAvx512Vnni) && HasAvx512Bf16();
#else
  return false;
#endif
}

int AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cpus = 1;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cpus = CPU_COUNT(&set);
  const double quota = CgroupQuota();
  if (quota > 0) cpus = std::min(cpus, static_cast<int>(std::ceil(quota)));
  return std::max(cpus, 1);
}

}  // namespace limbeck
