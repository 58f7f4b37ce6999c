// A C++ program that fills its heap with strings of several sorts, says that it is ready, and waits.
#include <cstdio>
#include <deque>
#include <map>
#include <string>
#include <unistd.h>

int main() {
    std::map<std::string, std::wstring> names;
    std::deque<std::u16string> wide;
    for (int i = 0; i < 20000; i++) {
        std::string number = std::to_string(i * 7919);
        names["request " + number + " of a session"] = std::wstring(number.begin(), number.end()) + L" as wide text";
        wide.push_back(u"sixteen bits " + std::u16string(number.begin(), number.end()));
    }
    std::puts("ready");
    std::fflush(stdout);
    pause();
    return static_cast<int>(names.size() + wide.size());
}
