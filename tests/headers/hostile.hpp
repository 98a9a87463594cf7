// SPDX-License-Identifier: MIT
// Macros that headers in common use define, so that no name of attune may be one of them: <complex.h>, <termios.h>, <sys/sysmacros.h>,
// <windows.h>, Xlib, Apple's AssertMacros, Arduino. Each stands for a text that compiles nowhere.
// Single capitals as template parameters (T, N, S) are every C++ library's convention and are not defended against.
#define I @
#define B0 @
#define major(device) @
#define minor(device) @
#define makedev(major, minor) @
#define small @
#define near @
#define far @
#define interface @
#define IN @
#define OUT @
#define ERROR @
#define NO_ERROR @
#define DELETE @
#define DEFAULT @
#define TRUE @
#define FALSE @
#define True @
#define False @
#define None @
#define Always @
#define Success @
#define Status @
#define Bool @
#define check(condition) @
#define verify(condition) @
#define require(condition, label) @
#define PI @
#define sq(x) @
#define radians(x) @
