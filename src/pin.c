/* SPDX-License-Identifier: MIT */
/* pin.c - what the library does to the process once: it stays loaded, and SIGPIPE does not kill. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* dladdr */
#endif

#include "pin.h"

#ifdef _WIN32

#include <windows.h>

void asy_pin_library(void) {
  HMODULE module;
  GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                     (LPCSTR)(void *)asy_pin_library, &module);
}

void asy_pin_ignore_sigpipe(void) {}

#else

#include <dlfcn.h>
#include <signal.h>
#include <string.h>

#ifndef RTLD_NODELETE
#define RTLD_NODELETE 0
#endif
#ifndef RTLD_NOLOAD
#define RTLD_NOLOAD 0
#endif

/* Any object of the library: its address tells the library's file. */
static const char pin_here = 0;

void asy_pin_library(void) {
  Dl_info info;
  if (dladdr(&pin_here, &info) && info.dli_fname)
    (void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

void asy_pin_ignore_sigpipe(void) {
  struct sigaction action;
  if (sigaction(SIGPIPE, NULL, &action) != 0 || action.sa_handler != SIG_DFL) return;
  memset(&action, 0, sizeof action);
  action.sa_handler = SIG_IGN;
  sigemptyset(&action.sa_mask);
  sigaction(SIGPIPE, &action, NULL);
}

#endif
