-- SPDX-License-Identifier: MIT
-- Every public function is called with every wrong kind of argument at each position: the error
-- must name position and expected type, as Lua's own do, and nothing may crash. The module table
-- and the metatables are walked, and the sources are asked for types: what has no row fails.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"

-- ---- values of every kind

local SAMPLES <const> = {
  ["nil"] = function() end,
  boolean = function() return true end,
  integer = function() return 3 end,
  negative = function() return -7 end,
  half = function() return 1.5 end,
  huge = function() return math.maxinteger end,
  infinite = function() return math.huge end,
  nan = function() return 0 / 0 end,
  string = function() return "no number" end,
  table = function() return {} end,
  ["function"] = function() return function() end end,
  thread = function() -- one that has started
    local co <const> = coroutine.create(coroutine.yield)
    coroutine.resume(co)
    return co
  end,
  file = function() return io.stdout end,
  object = function() return asyncio.Event() end,
}

-- Of a metatable, without the library's own mark.
local function sorted_keys(t)
  local keys <const> = {}
  for key in pairs(t) do
    if type(key) == "string" then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

local ORDER <const> = sorted_keys(SAMPLES)
local ALL <const> = table.concat(ORDER, " ")

-- The samples to be tried now: all of them, or, where each step is slow (gc), two, by turns.
local next_sample = 0
local function samples()
  if helper.SCALE > 0.005 then return ORDER end
  next_sample = next_sample % #ORDER + 1
  return { ORDER[next_sample], ORDER[(next_sample + 6) % #ORDER + 1] }
end

local NUMBERS <const> = "integer negative half huge infinite"

-- ---- kinds of parameters

local function words(text)
  local found <const> = {}
  for word in text:gmatch("%S+") do found[word] = true end
  return found
end

-- good: makes a value for this parameter while another one is tested. takes: the samples that are
-- not of a wrong kind here (they may still be out of range). says: what the error must contain, as
-- a pattern; a sample with words of its own has a field.
local function kind(good, takes, says, special)
  local k <const> = special or {}
  k.good, k.takes, k.says = good, words(takes), says
  return k
end

local function constant(value)
  return function() return value end
end

local NO_INTEGER <const> = "number has no integer representation"
local function nothing() end
local make_function <const> = constant(nothing)

local KINDS <const> = {
  any = kind(constant(1), ALL),
  present = kind(constant(1), ALL, "value expected"), -- anything, but not left out
  value = kind(constant(1), ALL:gsub("nil", ""), "value expected"),
  seconds = kind(constant(0), NUMBERS, "number expected, got ",
    { nan = "number of seconds expected, got NaN" }),
  integer = kind(constant(1), "integer negative huge", "number expected, got ",
    { half = NO_INTEGER, infinite = NO_INTEGER, nan = NO_INTEGER }),
  boolean = kind(constant(true), "boolean", "boolean expected, got "),
  string = kind(constant("x"), "string nan " .. NUMBERS, "string expected, got "),
  callable = kind(make_function, "function", "function expected, got "),
  awaitable = kind(make_function, "function",
    "awaitable %(future, task, coroutine object, function%) expected, got ",
    { thread = "a coroutine that has not started expected" }),
  gathered = kind(make_function, "function table nil", "awaitable expected, got "),
  list = kind(function() return { nothing } end, "table", "list of awaitables expected, got "),
  options = kind(function() return {} end, "table", "table expected, got "),
  table = kind(function() return {} end, "table", "table expected, got "),
  class = kind(constant(asyncio.TimeoutError), "table", "table expected, got "),
  loop = kind(function() return asyncio.get_event_loop() end, "", "asyncio%.Loop expected, got "),
  lock = kind(function() return asyncio.Lock() end, "", "asyncio%.Lock expected, got "),
  token = kind(function() return asyncio.ContextVar("x"):set(1) end, "",
    "asyncio%.Token expected, got "),
  stream = kind(function() return (asyncio.testing.stream_pair()) end, "",
    "asyncio%.Stream expected, got "),
  job = kind(constant("tostring"), "function",
    "function or name of a library function expected, got ",
    { string = "no library function is called" }),
  executor = kind(constant(nil), "nil", "nil expected"),
  dgram = kind(function() return asyncio.socket("inet", "dgram") end, "",
    "asyncio%.DatagramSocket expected, got "),
  address = kind(constant { "127.0.0.1", 9 }, "table", "table expected, got "),
  group = kind(constant("239.1.1.1"), "string", "string expected, got "),
  switch = kind(constant("broadcast"), "string nan " .. NUMBERS, "string expected, got "),
  family = kind(constant("inet"), "string table nan " .. NUMBERS, "string expected, got "),
  stream_type = kind(constant("stream"), "string nan " .. NUMBERS, "string expected, got "),
  mode = kind(constant("raw"), "string nan " .. NUMBERS, "string expected, got "),
  how = kind(constant("both"), "string nan " .. NUMBERS, "string expected, got "),
  option = kind(constant("nodelay"), "string nan " .. NUMBERS, "string expected, got "),
  separator = kind(constant("\n"), "string table nan " .. NUMBERS, "string expected, got "),
  format = kind(constant(1), "string integer negative huge", "integer or format expected, got ",
    { half = NO_INTEGER, infinite = NO_INTEGER, nan = NO_INTEGER }),
  signal = kind(constant("SIGUSR1"), "string integer negative huge",
    "name or number of a signal expected, got ",
    { half = NO_INTEGER, infinite = NO_INTEGER, nan = NO_INTEGER }),
  descriptor = kind(constant(1000000), "integer negative huge file", -- one that is not open
    "descriptor %(integer, file, or object with fileno or pollfd%) expected, got ",
    { half = NO_INTEGER, infinite = NO_INTEGER, nan = NO_INTEGER }),
  path = kind(constant("/no/such/file"), "string nan " .. NUMBERS, "string expected, got "),
  opening = kind(constant("r"), "string nan " .. NUMBERS, "string expected, got "),
  whence = kind(constant("cur"), "string nan " .. NUMBERS, "string expected, got "),
  buffering = kind(constant("full"), "string nan " .. NUMBERS, "string expected, got "),
  file = kind(function() return asyncio.open("/dev/null", "r+") end, "",
    "asyncio%.File expected, got "),
  permissions = kind(constant("644"), "string integer negative huge", "number expected, got ",
    { half = NO_INTEGER, infinite = NO_INTEGER, nan = NO_INTEGER }),
  time = kind(constant(1), NUMBERS .. " nan", "number expected, got "),
  host = kind(constant("127.0.0.1"), "string nan " .. NUMBERS, "string expected, got "),
  hosts = kind(constant("127.0.0.1"), "string table nan " .. NUMBERS, "string expected, got "),
  port = kind(constant(1), "integer negative huge", "number expected, got ",
    { half = NO_INTEGER, infinite = NO_INTEGER, nan = NO_INTEGER }),
  service = kind(constant(1), "string integer negative huge", "number expected, got ",
    { half = NO_INTEGER, infinite = NO_INTEGER, nan = NO_INTEGER }),
}

-- ---- the rows: what each function takes. A kind with ? may be left out, or nil; ... is anything

local NOTHING <const> = ""

local FUNCTIONS <const> = {
  all_tasks = "loop?",
  as_completed = "list options?",
  async = "callable",
  await = "awaitable",
  Barrier = "integer",
  BoundedSemaphore = "integer?",
  Condition = "lock?",
  ContextVar = "string any?",
  create_subprocess_exec = "string ...",
  create_subprocess_shell = "string options?",
  create_task = "awaitable ...",
  current_task = "loop?",
  eager_task_factory = "loop awaitable ...",
  ensure_future = "awaitable",
  Event = NOTHING,
  gather = "gathered?",
  get_event_loop = NOTHING,
  get_running_loop = NOTHING,
  is = "present class",
  iscoroutine = "any",
  iscoroutinefunction = "any",
  isfuture = "any",
  LifoQueue = "integer?",
  listen_fds = "options?",
  Lock = NOTHING,
  new_event_loop = "options?",
  open = "path opening?",
  open_connection = "host port options?",
  open_unix_connection = "path options?",
  patch = NOTHING,
  pcall = "any ...",
  PriorityQueue = "integer? callable?",
  Queue = "integer?",
  run = "awaitable ...",
  Runner = "options?",
  Semaphore = "integer?",
  sendfile = "file stream integer? integer?",
  set_event_loop = "loop?",
  shield = "awaitable",
  sleep = "seconds any?",
  socket = "family? stream_type?",
  stderr = "options?", stdin = "options?", stdout = "options?",
  start_server = "callable hosts? port options?",
  start_unix_server = "callable path options?",
  Future = "loop?",
  Task = "awaitable ...",
  TaskGroup = "callable?",
  to_thread = "job",
  timeout = "seconds? awaitable? ...",
  timeout_at = "seconds? awaitable? ...",
  wait = "list options?",
  wait_readable = "descriptor",
  wait_writable = "descriptor",
  wait_for = "awaitable seconds?",
  wrap = "callable",
  xpcall = "any callable ...",
  ["fs.access"] = "path opening?", ["fs.chmod"] = "path permissions",
  ["fs.copyfile"] = "path path options?", ["fs.link"] = "path path", ["fs.lstat"] = "path",
  ["fs.mkdir"] = "path options?", ["fs.mkdtemp"] = "path?", ["fs.mkstemp"] = "path?",
  ["fs.readlink"] = "path", ["fs.realpath"] = "path", ["fs.rename"] = "path path",
  ["fs.rmdir"] = "path", ["fs.scandir"] = "path", ["fs.stat"] = "path",
  ["fs.symlink"] = "path path", ["fs.unlink"] = "path", ["fs.utime"] = "path time? time?",
  ["fs.watch"] = "path options?",
  ["testing.run"] = "awaitable ...",
  ["testing.stream_pair"] = "options?",
}

local FUTURE <const> = {
  set_result = "...", set_exception = "value", result = NOTHING, exception = NOTHING,
  done = NOTHING, cancelled = NOTHING, cancel = "any?", add_done_callback = "callable",
  remove_done_callback = "callable", get_loop = NOTHING, state = NOTHING, await = NOTHING,
}
local TASK <const> = {
  set_exception = "...", -- neither is for a task, whatever is given
  get_name = NOTHING, set_name = "present", get_coro = NOTHING, cancelling = NOTHING,
  uncancel = NOTHING, traceback = NOTHING, print_stack = NOTHING,
}
for name, row in pairs(FUTURE) do TASK[name] = TASK[name] or row end
local GUARD <const> = {
  acquire = NOTHING, release = NOTHING, locked = NOTHING, with = "callable ...",
}
local QUEUE <const> = {
  put = "any", put_nowait = "any", get = NOTHING, get_nowait = NOTHING, iter = NOTHING,
  join = NOTHING, task_done = NOTHING, shutdown = "boolean?", qsize = NOTHING, maxsize = NOTHING,
  empty = NOTHING, full = NOTHING,
}

-- By the name in the metatable: how to make one, and its methods.
local TYPES <const> = {
  ["asyncio.Loop"] = { make = asyncio.get_running_loop, methods = {
    call_soon = "callable ...", call_soon_threadsafe = "callable ...",
    call_later = "seconds callable ...", call_at = "seconds callable ...", time = NOTHING,
    create_future = NOTHING, create_task = "awaitable ...",
    run_until_complete = "awaitable ...", run_forever = NOTHING, stop = NOTHING, close = NOTHING,
    is_running = NOTHING, is_closed = NOTHING, set_debug = "boolean", get_debug = NOTHING,
    set_exception_handler = "callable?", get_exception_handler = NOTHING,
    call_exception_handler = "table", default_exception_handler = "table",
    set_task_factory = "callable?", get_task_factory = NOTHING,
    getaddrinfo = "host? service? options?", getnameinfo = "table options?",
    sock_accept = "stream", sock_connect = "stream table", sock_recv = "stream integer",
    sock_sendall = "stream string", sock_recvfrom = "dgram integer?",
    sock_sendto = "dgram string address", add_signal_handler = "signal callable ...",
    remove_signal_handler = "signal", sendfile = "stream file integer? integer?",
    run_in_executor = "executor job", set_thread_count = "integer",
    add_reader = "descriptor callable ...", add_writer = "descriptor callable ...",
    remove_reader = "descriptor", remove_writer = "descriptor",
  } },
  ["asyncio.Future"] = { make = virtual.future, methods = FUTURE },
  ["asyncio.Task"] = { make = function() return asyncio.create_task(nothing) end, methods = TASK },
  ["asyncio.Handle"] = {
    make = function() return asyncio.get_running_loop():call_soon(nothing) end,
    methods = { cancel = NOTHING, cancelled = NOTHING },
  },
  ["asyncio.TimerHandle"] = {
    make = function() return asyncio.get_running_loop():call_later(1, nothing) end,
    methods = { cancel = NOTHING, cancelled = NOTHING, when = NOTHING },
  },
  ["asyncio.Coroutine"] = { make = asyncio.async(nothing), methods = { close = NOTHING } },
  ["asyncio.ContextVar"] = {
    make = function() return asyncio.ContextVar("var", 1) end,
    methods = { get = "any?", set = "value", reset = "token" },
  },
  ["asyncio.Token"] = {
    make = function() return asyncio.ContextVar("var"):set(1) end, methods = {},
  },
  ["asyncio.Closer"] = {
    make = function() return (select(4, asyncio.wrap(nothing))) end, methods = {},
  },
  ["asyncio.Lock"] = { make = asyncio.Lock, methods = GUARD },
  ["asyncio.Event"] = { make = asyncio.Event, methods = {
    wait = NOTHING, set = NOTHING, clear = NOTHING, is_set = NOTHING,
  } },
  ["asyncio.Condition"] = { make = asyncio.Condition, methods = {
    acquire = NOTHING, release = NOTHING, locked = NOTHING, with = "callable ...", wait = NOTHING,
    wait_for = "callable", notify = "integer?", notify_all = NOTHING,
  } },
  ["asyncio.Semaphore"] = { make = asyncio.Semaphore, methods = GUARD },
  ["asyncio.BoundedSemaphore"] = { make = asyncio.BoundedSemaphore, methods = GUARD },
  ["asyncio.Barrier"] = { make = function() return asyncio.Barrier(2) end, methods = {
    wait = NOTHING, reset = NOTHING, abort = NOTHING, parties = NOTHING, n_waiting = NOTHING,
    broken = NOTHING,
  } },
  ["asyncio.Queue"] = { make = asyncio.Queue, methods = QUEUE },
  ["asyncio.LifoQueue"] = { make = asyncio.LifoQueue, methods = QUEUE },
  ["asyncio.PriorityQueue"] = { make = asyncio.PriorityQueue, methods = QUEUE },
  -- in a task of its own, lest it cancel the test
  ["asyncio.Timeout"] = { make = function()
    return asyncio.create_task(asyncio.timeout, 1):await()
  end, methods = {
    when = NOTHING, reschedule = "seconds?", expired = NOTHING,
  } },
  ["asyncio.TaskGroup"] = { make = asyncio.TaskGroup, methods = { create_task = "awaitable ..." } },
  ["asyncio.Runner"] = { make = asyncio.Runner, methods = {
    run = "awaitable ...", get_loop = NOTHING, close = NOTHING,
  } },
  ["asyncio.Stream"] = { make = function() return (asyncio.testing.stream_pair()) end, methods = {
    read = "format?", readline = NOTHING, readexactly = "integer", readuntil = "separator?",
    lines = "format?", at_eof = NOTHING, recv = "integer", write = "string", writelines = "table",
    write_eof = NOTHING, can_write_eof = NOTHING, drain = NOTHING, sendall = "string",
    close = NOTHING, abort = NOTHING, is_closing = NOTHING, wait_closed = NOTHING,
    get_extra_info = "string any?", setsockopt = "option boolean", getsockopt = "option",
    getsockname = NOTHING, getpeername = NOTHING, fileno = NOTHING, bind = "host? port?",
    listen = "integer?", accept = NOTHING, connect = "host port", shutdown = "how",
    set_write_buffer_limits = "options?", get_write_buffer_limits = NOTHING,
    get_write_buffer_size = NOTHING,
    isatty = NOTHING, set_mode = "mode", winsize = NOTHING,
  } },
  ["asyncio.DatagramSocket"] = {
    make = function() return asyncio.socket("inet", "dgram") end,
    methods = {
      bind = "host? port?", connect = "host port", recv = "integer?", recvfrom = "integer?",
      sendall = "string", sendto = "string host port", setsockopt = "switch boolean",
      getsockopt = "switch", join_group = "group options?", leave_group = "group options?",
      getsockname = NOTHING, getpeername = NOTHING, fileno = NOTHING, close = NOTHING,
    },
  },
  ["asyncio.Process"] = {
    make = function() return asyncio.create_subprocess_exec("cat", { stdin = "pipe" }) end,
    methods = {
      wait = NOTHING, communicate = "string?", send_signal = "signal", terminate = NOTHING,
      kill = NOTHING,
    },
  },
  ["asyncio.File"] = { make = function() return asyncio.open("/dev/null", "r+") end, methods = {
    read = "format?", lines = "format?", write = "string? ...", flush = NOTHING, sync = NOTHING,
    truncate = "integer?", seek = "whence? integer?", setvbuf = "buffering integer?",
    close = NOTHING, is_closed = NOTHING, fileno = NOTHING,
  } },
  ["asyncio.Request"] = { -- what scandir gives a for loop to close
    make = function() return (select(4, asyncio.fs.scandir("/"))) end, methods = {},
  },
  ["asyncio.Watcher"] = {
    make = function() return (asyncio.fs.watch("/tmp")) end, methods = { close = NOTHING },
  },
  ["asyncio.Server"] = {
    make = function() return asyncio.start_server(nothing, "127.0.0.1", 0) end,
    methods = {
      start_serving = NOTHING, close = NOTHING, serve_forever = NOTHING, wait_closed = NOTHING,
      close_clients = NOTHING, abort_clients = NOTHING, sockets = NOTHING, is_serving = NOTHING,
      get_loop = NOTHING,
    },
  },
}

-- The options: where their table stands, what each of them takes; `before` are the arguments before
-- the table, where good ones of the row would not do.
local OPTIONS <const> = {
  as_completed = { at = 2, timeout = "seconds" },
  gather = { at = 2, before = { {} }, return_exceptions = "boolean" },
  create_subprocess_exec = { at = 2, stdin = "stdio", stdout = "stdio", stderr = "stdio",
    cwd = "path", env = "map", extra_env = "map", uid = "integer", gid = "integer",
    limit = "integer", grace = "seconds", detached = "boolean" },
  create_subprocess_shell = { at = 2, stdin = "stdio", env = "map", grace = "seconds" },
  new_event_loop = { at = 1, clock = "choice", debug = "boolean" },
  listen_fds = { at = 1, keep_env = "boolean" },
  open_connection = { at = 3, limit = "integer", high_water = "integer", low_water = "integer",
    family = "choice",
    happy_eyeballs_delay = "seconds", interleave = "integer", sock = "refused", ssl = "refused" },
  ["fs.copyfile"] = { at = 3, exclusive = "boolean" },
  ["fs.mkdir"] = { at = 2, parents = "boolean", exist_ok = "boolean", mode = "permissions" },
  ["fs.watch"] = { at = 2, limit = "integer" },
  open_unix_connection = { at = 2, limit = "integer", sock = "refused", ssl = "refused" },
  Runner = { at = 1, debug = "boolean", loop_factory = "callable" },
  start_server = { at = 4, limit = "integer", high_water = "integer", low_water = "integer",
    family = "choice", backlog = "integer",
    reuse_port = "boolean", start_serving = "boolean",
    ipv6_only = "boolean", keep_alive = "boolean", sock = "refused", ssl = "refused" },
  start_unix_server = { at = 3, limit = "integer", backlog = "integer", mode = "integer",
    start_serving = "boolean", cleanup_socket = "boolean", sock = "refused", ssl = "refused" },
  ["testing.stream_pair"] = { at = 1, limit = "integer" },
  stderr = { at = 1, limit = "integer" }, stdin = { at = 1, limit = "integer" },
  stdout = { at = 1, limit = "integer" },
  wait = { at = 2, timeout = "seconds", return_when = "choice" },
}
local FITS <const> = {
  seconds = words(NUMBERS), boolean = words "boolean", callable = words "function",
  integer = words "integer", permissions = words "integer", choice = {}, refused = {},
  path = words "string", map = words "table", stdio = words "integer file",
}

-- What is called outside of every loop, since it runs one.
local OUTSIDE <const> = words "run testing.run Runner:run Loop:run_until_complete Loop:run_forever"

-- Types of which a program never holds an object.
local INTERNAL <const> = words "asyncio.Failure asyncio.Gather"

local METAMETHODS <const> = words "__call __close __gc __index __newindex __tostring __within"

-- ---- calling

-- Calls f(...) in a task of its own, which is cancelled if it waits. Returns the error, or nil.
local function in_task(f, ...)
  local t <const> = asyncio.create_task(f, ...)
  virtual.turns(2)
  t:cancel()
  virtual.turns(2)
  local ok, err = pcall(t.exception, t)
  return ok and err or nil
end

local function directly(f, ...)
  local ok, err = pcall(f, ...)
  return not ok and err or nil
end

-- A function that calls the function or method of that name in a way that lets Lua know the name.
local function caller(name, is_method)
  local call <const> = is_method and "o:" .. name or "o." .. name
  return assert(load(("local o <const> = ... local r <const> = table.pack(%s(select(2, ...))) "
    .. "return table.unpack(r, 1, r.n)"):format(call), "=call"))
end

local function parse(row)
  local list <const> = {}
  for word in row:gmatch("%S+") do
    if word ~= "..." then
      local name <const> = word:match("^[%w_]+")
      list[#list + 1] = { kind = assert(KINDS[name], name), optional = word:find("?", 1, true) }
    end
  end
  return list
end

local function good_arguments(params)
  local args <const> = { n = #params }
  for i, param in ipairs(params) do args[i] = param.kind.good() end
  return args
end

-- Collects what is wrong with errors; expect(what, at, error, pattern).
local function recorder(name)
  local problems <const> = {}
  return function(what, at, err, says)
    local place <const> = ("bad argument #%d to '[%%w_.?]*%s' %%(.*"):format(at, name) .. says
    if type(err) ~= "string" or not err:find(place) then
      problems[#problems + 1] = ("%s at #%d: %s\n    expected: %s"):format(what, at, tostring(err),
        place)
    end
  end, function()
    assert(#problems == 0, "\n  " .. table.concat(problems, "\n  "))
  end
end

-- Calls a function with each wrong sample at each position, good arguments elsewhere; and without
-- the first argument that must be there.
local function check_row(name, row, call, outcome, get_object)
  local params <const> = parse(row)
  local expect <const>, done <const> = recorder(name)
  for i, param in ipairs(params) do
    local k <const> = param.kind
    for _, sample in ipairs(samples()) do
      if not k.takes[sample] and not (param.optional and sample == "nil") then
        local args <const> = good_arguments(params)
        args[i] = SAMPLES[sample]()
        expect(sample, i, outcome(call, get_object(), table.unpack(args, 1, args.n)),
          k[sample] or k.says)
      end
    end
    if not param.optional and k.says then
      expect("none", i, outcome(call, get_object(), table.unpack(good_arguments(params), 1, i - 1)),
        k.says)
    end
  end
  done()
end

-- For `it`: in a loop whose reports nobody reads, since much is dropped that should not be.
local function quiet(f)
  return virtual.inside(function(loop)
    loop:set_exception_handler(nothing)
    f()
  end)
end

-- For `it`: in a loop, or outside where the function itself runs one.
local function placed(is_outside, f)
  if is_outside then return function() f(directly) end end
  return quiet(function() f(in_task) end)
end

local function find_function(name)
  local value = asyncio
  for part in name:gmatch("[^.]+") do value = value[part] end
  return value
end

local function short(type_name)
  return type_name:match("[^.]+$")
end

-- ---- wrong arguments

describe("a wrong argument is named with its position and type by", function()
  for _, name in ipairs(sorted_keys(FUNCTIONS)) do
    it(name, placed(OUTSIDE[name], function(outcome)
      assert.is_function(find_function(name))
      check_row(short(name), FUNCTIONS[name], caller(name), outcome, constant(asyncio))
    end))
  end

  for _, type_name in ipairs(sorted_keys(TYPES)) do
    local description <const> = TYPES[type_name]
    for _, name in ipairs(sorted_keys(description.methods)) do
      local full <const> = short(type_name) .. ":" .. name
      it(full, placed(OUTSIDE[full], function(outcome)
        local make = description.make
        if OUTSIDE[full] and type_name == "asyncio.Loop" then make = asyncio.get_event_loop end
        check_row(name, description.methods[name], caller(name, true), outcome, make)
        if OUTSIDE[full] and type_name == "asyncio.Loop" then
          asyncio.get_event_loop():close()
          asyncio.set_event_loop(nil)
        end
      end))
    end
  end
end)

describe("a wrong option is named by", function()
  for _, name in ipairs(sorted_keys(OPTIONS)) do
    it(name, quiet(function()
      local options <const> = OPTIONS[name]
      local expect <const>, done <const> = recorder(short(name))
      local function try(key, value)
        local args <const> = options.before or good_arguments(parse(FUNCTIONS[name]))
        args[options.at] = { [key] = value }
        return in_task(caller(name), asyncio, table.unpack(args, 1, options.at))
      end
      expect("an unknown one", options.at, try("no_such_option", true), "no_such_option")
      expect("a number", options.at, try(1, true), "option")
      for key, takes in pairs(options) do
        for _, sample in ipairs(FITS[takes] and samples() or {}) do
          if sample ~= "nil" and not FITS[takes][sample] then
            expect(key .. " = " .. sample, options.at, try(key, SAMPLES[sample]()), key)
          end
        end
      end
      done()
    end))
  end
end)

describe("a wrong self is refused by the methods of", function()
  for _, type_name in ipairs(sorted_keys(TYPES)) do
    it(type_name, quiet(function()
      local object <const> = TYPES[type_name].make()
      for _, name in ipairs(sorted_keys(TYPES[type_name].methods)) do
        local method <const> = object[name]
        assert.is_function(method, name)
        for _, sample in ipairs(samples()) do
          if sample ~= "object" or type_name ~= "asyncio.Event" then
            local err <const> = directly(method, SAMPLES[sample]())
            assert.matches("^bad argument #1 to '[%w_.?]+' %(asyncio%.%w+ expected, got ",
              tostring(err), name)
          end
        end
        local holder <const> = { [name] = method }
        local err <const> = directly(caller(name, true), holder)
        assert.matches(("calling '%s' on bad self (asyncio."):format(name), tostring(err), 1, true)
        assert.matches("expected, got ", tostring(err), 1, true)
      end
    end))
  end
end)

-- ---- nothing crashes

-- The same numbers on every machine.
local function random_numbers(seed)
  return function(n)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed // 65536 % n + 1
  end
end

local NETWORK <const> =
  words "open_connection start_server connect bind getaddrinfo getnameinfo listen"

local FILES <const> = words("access chmod copyfile link lstat mkdir mkdtemp mkstemp open readlink "
  .. "realpath rename rmdir scandir stat symlink unlink utime watch")

-- Names are not looked up here, no port of the machine is taken, and no file is made.
local function tame(name, args)
  for i = 1, FILES[name] and args.n or 0 do
    if type(args[i]) == "string" or type(args[i]) == "number" then args[i] = "/no/such/file" end
  end
  if not NETWORK[name] then return end
  for i = 1, args.n do
    if type(args[i]) == "string" then args[i] = "127.0.0.1" end
    if math.type(args[i]) == "integer" then args[i] = 0 end
  end
end

-- Calls with any samples at all positions, too many of them as well.
local function torture(name, call, get_object, outcome)
  local random <const> = random_numbers(#name)
  for _ = 1, helper.scale(40, 3) do
    local args <const> = { n = random(7) - 1 }
    for i = 1, args.n do args[i] = SAMPLES[ORDER[random(#ORDER)]]() end
    tame(name, args)
    outcome(call, get_object(), table.unpack(args, 1, args.n))
  end
  outcome(call, get_object(), table.unpack({}, 1, helper.scale(70000, 300)))
end

describe("any arguments leave alive", function()
  for _, name in ipairs(sorted_keys(FUNCTIONS)) do
    it(name, placed(OUTSIDE[name], function(outcome)
      torture(short(name), caller(name), constant(asyncio), outcome)
      collectgarbage()
      if name == "patch" then
        asyncio.patch()() -- undo, as often as it was done
      end
    end))
  end

  for _, type_name in ipairs(sorted_keys(TYPES)) do
    local description <const> = TYPES[type_name]
    it(type_name, quiet(function()
      for _, name in ipairs(sorted_keys(description.methods)) do
        local make = description.make
        local other
        if type_name == "asyncio.Loop" then
          other = asyncio.new_event_loop { clock = "virtual" }
          make = constant(other)
        end
        if name ~= "print_stack" and name ~= "serve_forever" then
          torture(name, caller(name, true), make, in_task)
        end
        if other then other:close() end
      end
      collectgarbage()
    end))
  end
end)

describe("metamethods called by hand leave alive", function()
  for _, type_name in ipairs(sorted_keys(TYPES)) do
    it(type_name, quiet(function()
      local meta <const> = debug.getmetatable(TYPES[type_name].make())
      for _, name in ipairs(sorted_keys(meta)) do
        if type(meta[name]) == "function" then
          for _, sample in ipairs(samples()) do
            in_task(meta[name], SAMPLES[sample]())
            in_task(meta[name], SAMPLES[sample](), SAMPLES[sample](), SAMPLES[sample]())
            in_task(meta[name], TYPES[type_name].make(), SAMPLES[sample](), SAMPLES[sample]())
          end
          in_task(meta[name])
          local object <const> = TYPES[type_name].make()
          in_task(meta[name], object)
          for _, method in ipairs(sorted_keys(TYPES[type_name].methods)) do
            if not words("print_stack close stop")[method] then in_task(object[method], object) end
          end
          in_task(tostring, object)
        end
      end
      collectgarbage()
    end))
  end
end)

-- ---- nothing is missing

describe("the walk", function()
  it("knows every value of the module", function()
    for key in pairs(package.preload) do
      local part <const> = type(key) == "string" and key:match("^asyncio%.(%w+)$")
      local internal <const> = part == "pair" or part == "process" or part == "core"
      if part and not internal then assert.is_table(asyncio[part]) end
    end
    for name, value in pairs(asyncio) do
      if type(value) == "function" then
        assert(FUNCTIONS[name], "no row for asyncio." .. name)
      elseif type(value) == "table" and getmetatable(value) then
        assert.is_true(asyncio.is(value(), value), name) -- a class of errors
      elseif type(value) == "table" then
        for inner, f in pairs(value) do
          if type(f) == "function" and type(inner) == "string" then -- else it is the library's own
            assert(FUNCTIONS[name .. "." .. inner], ("no row for %s.%s"):format(name, inner))
          end
        end
      else
        assert.is_string(value, name) -- a constant
      end
    end
  end)

  it("knows every method and metamethod of every type", quiet(function()
    for type_name, description in pairs(TYPES) do
      local meta <const> = debug.getmetatable(description.make())
      assert.equal(type_name, meta.__name)
      local methods = meta.__index
      for i = 1, type(methods) == "function" and 9 or 0 do
        local _, value = debug.getupvalue(meta.__index, i)
        if type(value) == "table" then methods = value end
      end
      for name in pairs(methods) do
        assert(description.methods[name], ("no row for %s:%s"):format(type_name, name))
      end
      for name, value in pairs(meta) do
        local known <const> = METAMETHODS[name] or name == "__name"
          or type(name) == "userdata" -- the library's own mark
        assert(known, ("no row for %s.%s (%s)"):format(type_name, name, type(value)))
      end
    end
  end))

  it("knows every type of the sources", function()
    local pipe <const> = assert(io.popen("cat src/*.c"))
    local text <const> = pipe:read("a")
    pipe:close()
    local count = 0
    for name in text:gmatch('"(asyncio%.%u%w+)"') do
      count = count + 1
      assert(TYPES[name] or INTERNAL[name], "no row for the type " .. name)
    end
    assert.is_true(count >= 20)
  end)
end)
