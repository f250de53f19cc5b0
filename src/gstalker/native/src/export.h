// Marks the functions that Python may call.
#pragma once
#define GST_EXPORT extern "C" __attribute__((visibility("default")))
