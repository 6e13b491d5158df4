// Every allocation of the engine fails once, in its turn. Each failure must come out as an error with a message, leave
// no thread behind, and leave an engine that answers as before.
//
// operator new is replaced here, and mmap, which slabs are made of, by way of the linker (--wrap).
#include <dirent.h>
#include <sys/mman.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "bind/limbeck.h"
#include "tests/check.h"

namespace {

// Allocations of this thread that still succeed; negative: all do.
thread_local int64_t allowed = -1;
thread_local bool refused = false;

bool Refuse() {
  if (allowed < 0) return false;
  if (allowed > 0) {
    --allowed;
    return false;
  }
  refused = true;
  return true;
}

void* Allocate(size_t bytes, size_t alignment) {
  void* memory = nullptr;
  if (Refuse() || posix_memalign(&memory, alignment, bytes) != 0) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t bytes) { return Allocate(bytes, alignof(std::max_align_t)); }
void* operator new(size_t bytes, std::align_val_t alignment) { return Allocate(bytes, static_cast<size_t>(alignment)); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

extern "C" void* __real_mmap(void* address, size_t size, int protection, int flags, int file, off_t offset);
extern "C" void* __wrap_mmap(void* address, size_t size, int protection, int flags, int file, off_t offset) {
  if (!Refuse()) return __real_mmap(address, size, protection, flags, file, offset);
  errno = ENOMEM;
  return MAP_FAILED;
}

namespace {

int Threads() {
  int count = 0;
  DIR* directory = opendir("/proc/self/task");
  CHECK_THAT(directory != nullptr, "no /proc");
  while (const dirent* entry = readdir(directory)) count += entry->d_name[0] != '.';
  closedir(directory);
  return count;
}

// Threads beyond `expected`. One that was joined may be listed for a moment longer, until the kernel has taken it off.
int LeftBehind(int expected) {
  int more = Threads() - expected;
  for (int turn = 0; more > 0 && turn < 1000; ++turn) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    more = Threads() - expected;
  }
  return more;
}

// A model of one layer; every size differs.
struct Weights {
  Weights() {
    const int64_t hidden = 6;
    const int64_t ffn = 10;
    Add("embeddings.word", 5, hidden);
    Add("embeddings.position", 40, hidden);
    Add("embeddings.norm.gain", hidden);
    Add("embeddings.norm.bias", hidden);
    for (const char* part : {"query", "key", "value", "output"}) {
      Add(std::string("layers.0.attention.") + part + ".weight", hidden, hidden);
      Add(std::string("layers.0.attention.") + part + ".bias", hidden);
    }
    Add("layers.0.ffn.in.weight", ffn, hidden);
    Add("layers.0.ffn.in.bias", ffn);
    Add("layers.0.ffn.out.weight", hidden, ffn);
    Add("layers.0.ffn.out.bias", hidden);
    for (const char* norm : {"layers.0.attention.norm", "layers.0.ffn.norm"}) {
      Add(std::string(norm) + ".gain", hidden);
      Add(std::string(norm) + ".bias", hidden);
    }
    for (size_t i = 0; i < names.size(); ++i) {
      LimbeckTensor tensor = {};
      tensor.name = names[i].c_str();
      tensor.rank = shapes[i][1] == 0 ? 1 : 2;
      tensor.shape[0] = shapes[i][0];
      tensor.shape[1] = shapes[i][1];
      tensor.data = values[i].data();
      tensors.push_back(tensor);
    }
  }

  void Add(const std::string& name, int64_t rows, int64_t cols = 0) {
    names.push_back(name);
    shapes.push_back({rows, cols});
    values.emplace_back();
    std::uniform_real_distribution<float> draw(-0.5f, 0.5f);
    for (int64_t i = 0; i < rows * (cols == 0 ? 1 : cols); ++i) values.back().push_back(draw(random));
  }

  LimbeckModelSpec spec = {LIMBECK_ABI_VERSION,
                           LIMBECK_FP32,
                           1,
                           6,
                           2,
                           10,
                           5,
                           40,
                           0,
                           LIMBECK_GELU,
                           LIMBECK_ABSOLUTE,
                           0,
                           LIMBECK_HEAD_NONE,
                           -1,
                           0,
                           1e-12f,
                           {},
                           LIMBECK_DYNAMIC};
  limbeck::test::Random random{7};
  std::vector<std::string> names;
  std::vector<std::vector<int64_t>> shapes;
  std::vector<std::vector<float>> values;
  std::vector<LimbeckTensor> tensors;
};

LimbeckModel* Create(const Weights& weights, char* error, int32_t error_size) {
  LimbeckModel* model = nullptr;
  const int32_t failed =
      limbeck_model_create(&weights.spec, weights.tensors.data(), static_cast<int32_t>(weights.tensors.size()), nullptr,
                           3, 2, &model, error, error_size);
  CHECK_THAT((failed != 0) == (model == nullptr), "a model beside an error");
  return model;
}

bool Forward(LimbeckModel* model, int32_t length, std::vector<float>& out, char* error, int32_t error_size,
             int32_t alone = 0) {
  const int32_t ids[40] = {1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0};
  const int32_t cu_seqlens[] = {0, length};
  return limbeck_model_forward(model, ids, nullptr, cu_seqlens, 1, LIMBECK_HIDDEN, out.data(), length * 6, alone, error,
                               error_size) == 0;
}

// Calls `work` with the first allocation failing, then the second and so on, until none fails; returns how many did.
int EachFailure(const std::function<bool(char* error, int32_t error_size)>& work) {
  for (int failures = 0;; ++failures) {
    char error[256] = "";
    refused = false;
    allowed = failures;
    const bool done = work(error, sizeof(error));
    allowed = -1;
    if (!refused) {
      CHECK_THAT(done, "failed without a cause: %s", error);
      return failures;
    }
    CHECK_THAT(!done, "allocation %d failed and nobody noticed", failures);
    CHECK_THAT(error[0] != '\0', "allocation %d failed without a message", failures);
  }
}

}  // namespace

int main() {
  const Weights weights;
  std::thread([] {}).join();  // a sanitizer starts a thread of its own beside the first
  const int threads = 1 + LeftBehind(1);
  LimbeckModel* model = nullptr;
  const int creating = EachFailure([&](char* error, int32_t error_size) {
    model = Create(weights, error, error_size);
    const int more = model == nullptr ? LeftBehind(threads) : 0;
    CHECK_THAT(more == 0, "%d threads were left behind", more);
    return model != nullptr;
  });

  std::vector<float> small(3 * 6);
  std::vector<float> large(40 * 6);
  std::vector<float> again(3 * 6);
  char error[256] = "";
  CHECK_THAT(Forward(model, 3, small, error, sizeof(error)), "%s", error);
  const int growing = EachFailure([&](char* text, int32_t size) {
    const bool done = Forward(model, 40, large, text, size);
    const int64_t rest = allowed;
    allowed = -1;
    if (!done) {
      CHECK_THAT(Forward(model, 3, again, error, sizeof(error)), "after a failure: %s", error);
      CHECK_THAT(again == small, "after a failure: other bits");
    }
    allowed = rest;
    return done;
  });
  // The first pass that is alone starts threads of its own.
  const int running = threads + 2 * 2;  // two instances of three, of which the caller is one
  const int joining = EachFailure([&](char* text, int32_t size) {
    const bool done = Forward(model, 3, again, text, size, 1);
    if (done) {
      CHECK_THAT(again == small, "alone: other bits");
    } else {
      // All of its threads where memory for activations was lacking, and none where that for threads was.
      const int more = Threads() == running + 5 ? 0 : LeftBehind(running);
      CHECK_THAT(more == 0, "%d threads were left behind", more);
    }
    return done;
  });
  // A refusal needs memory for its message.
  const int refusing = EachFailure([&](char* text, int32_t size) {
    CHECK_THAT(!Forward(model, 41, large, text, size), "too long, and accepted");
    return !refused;
  });
  const int describing = EachFailure([&](char* text, int32_t size) {
    const bool done = limbeck_model_describe(model, nullptr, 0) > 0;
    if (!done) std::snprintf(text, static_cast<size_t>(size), "out of memory");
    return done;
  });
  limbeck_model_destroy(model);
  // These have no error to report, but may not end the process either.
  char names[128];
  allowed = 0;
  limbeck_isas(names, sizeof(names));
  const int cpus = limbeck_available_cpus();
  allowed = -1;
  CHECK_THAT(names[0] == '\0' && cpus >= 1, "'%s', %d CPUs", names, cpus);
  CHECK_THAT(creating > 50 && growing > 0 && joining > 5 && refusing > 0 && describing > 0,
             "%d, %d, %d, %d and %d allocations", creating, growing, joining, refusing, describing);
  std::printf("allocation: %d failures in create, %d in forward, %d in one alone, %d in a refusal, %d in describe ok\n",
              creating, growing, joining, refusing, describing);
  return 0;
}
