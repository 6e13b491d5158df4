#include "base/cpu.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "base/error.h"

namespace limbeck {
namespace {

constexpr Isa kBestFirst[] = {Isa::kAvx512Vnni, Isa::kAvx2, Isa::kReference};

bool Supports(Isa isa) {
  switch (isa) {
    case Isa::kReference:
      return true;
#if defined(__x86_64__)
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
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

// CPUs' worth of time that a quota file allows, or 0 where it sets no limit or does not exist.
double ReadQuotaV2(const std::string& path) {
  std::ifstream file(path);
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  std::istringstream text(quota);
  double value = 0;
  return (text >> value) ? value / period : 0;
}

double ReadQuotaV1(const std::string& directory) {
  std::ifstream quota_file(directory + "/cpu.cfs_quota_us");
  std::ifstream period_file(directory + "/cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) return 0;
  return quota / period;
}

// The tightest quota on the way from this process's control group up to the root; 0: none.
double CgroupQuota() {
  double tightest = 0;
  const auto note = [&tightest](double cpus) {
    if (cpus > 0 && (tightest == 0 || cpus < tightest)) tightest = cpus;
  };
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
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
  const bool known = std::any_of(std::begin(kBestFirst), std::end(kBestFirst), [&name](Isa isa) { return name == IsaName(isa); });
  throw Error("instruction set '" + name + (known ? "' is not available on this CPU" : "' is not known") +
              "; available here: " + choices);
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
