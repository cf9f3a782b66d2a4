---@meta asyncio
-- Written by tools/gen_types.lua from the comments in src/ and lua/; do not edit.

---@alias asyncio.awaitable asyncio.Future|asyncio.Task|function|thread|table

---@class asyncio
local asyncio = {}

---@class asyncio.fs
asyncio.fs = {}

---@class asyncio.testing
asyncio.testing = {}

---@class asyncio.Loop
local Loop = {}

---@class asyncio.Barrier
local Barrier = {}

---@class asyncio.ContextVar
local ContextVar = {}

---@class asyncio.Coroutine
local Coroutine = {}

---@class asyncio.DatagramSocket
local DatagramSocket = {}

---@class asyncio.Task: asyncio.Future
local Task = {}

---@class asyncio.File
local File = {}

---@class asyncio.Future
local Future = {}

---@class asyncio.Handle
local Handle = {}

---@class asyncio.TimerHandle: asyncio.Handle
local TimerHandle = {}

---@class asyncio.Lock
local Lock = {}

---@class asyncio.Condition
local Condition = {}

---@class asyncio.Event
local Event = {}

---@class asyncio.Process
local Process = {}

---@class asyncio.Queue
local Queue = {}

---@class asyncio.LifoQueue
local LifoQueue = {}

---@class asyncio.PriorityQueue
local PriorityQueue = {}

---@class asyncio.Stream
local Stream = {}

---@class asyncio.Runner
local Runner = {}

---@class asyncio.Timeout
local Timeout = {}

---@class asyncio.TaskGroup
local TaskGroup = {}

---@class asyncio.Semaphore
local Semaphore = {}

---@class asyncio.BoundedSemaphore
local BoundedSemaphore = {}

---@class asyncio.Server
local Server = {}

---@class asyncio.Watcher
local Watcher = {}

---Find the addresses of a host name, on libuv's thread pool. A numeric host with a numeric port is answered at once.
---
---Waits: yes. When cancelled: raises CancelledError; the result is dropped when it comes
---@param host? string name or numeric address, with its scope if it needs one ("fe80::1%eth0", "fe80::1%2"); nil means this machine
---@param port? integer|string number, or a service such as `"http"`; host and port cannot both be nil
---@param opts? table family ("inet", "inet6"), type ("stream", "dgram"), passive (boolean: nil is the address to listen on), numeric (boolean: names are not looked up)
---@return table # list of `{family=, type=, host=, port=}`, in the order in which they should be tried
function Loop:getaddrinfo(host, port, opts) end

---Find the names of an address, on libuv's thread pool.
---
---Waits: yes. When cancelled: raises CancelledError; the result is dropped when it comes
---@param addr table `{host, port}`, the host numeric
---@param opts? table numeric_host, numeric_service (boolean: give the number instead of the name), name_required (boolean: an address without a name is an error), dgram (boolean: the service of UDP)
---@return string # host
---@return string # service
function Loop:getnameinfo(addr, opts) end

---Wait until as many tasks have come to the barrier as it has parties; then all of them go on.
---
---Waits: yes, unless the task is the last one. When cancelled: raises CancelledError; the task is no longer counted
---@return integer # the task's index in the order of arrival, from 0
function Barrier:wait() end

---Make the barrier as new: tasks that wait at it get a BrokenBarrierError, and a broken one can be used again.
function Barrier:reset() end

---Break the barrier: who waits at it, or comes to it before it is reset, gets a BrokenBarrierError.
function Barrier:abort() end

---Tell how many tasks open the barrier.
---@return integer # number of tasks
function Barrier:parties() end

---Tell how many tasks are there while the barrier waits for others.
---@return integer # number of tasks; 0 once the barrier has opened, and when it is broken
function Barrier:n_waiting() end

---Tell whether the barrier is broken.
---@return boolean # true after `abort`, until `reset`
function Barrier:broken() end

---Make a barrier: tasks that come to it wait until a number of them are there. It can be used again and again. It belongs to the event loop on which it is first waited for.
---@param parties integer number of tasks that open it, at least 1
---@return asyncio.Barrier # an empty barrier
function asyncio.Barrier(parties) end

---Connect to a server. The addresses of a name are tried one after the other.
---
---Waits: yes. When cancelled: raises CancelledError; the connection is not made
---@param host string name or numeric address
---@param port integer number
---@param opts? table limit (integer, bytes: the longest line, and half of what is read ahead, 65536), high_water and low_water (integer, bytes: see Stream:set_write_buffer_limits), family ("inet", "inet6"), local_addr (`{host, port}`, numeric: where to connect from), happy_eyeballs_delay (seconds, as in RFC 8305, which recommends 0.25: the next address is tried when this time is over, too, and the first connection wins), interleave (integer: mix the families, with so many addresses of the first at the beginning; 0: as they come; 1 with happy_eyeballs_delay), sock (a Stream that is connected, in place of host and port and of the options about them)
---@return asyncio.Stream # reader
---@return asyncio.Stream # writer: the same Stream
function asyncio.open_connection(host, port, opts) end

---Connect to a server on a unix socket. If the server has more connections to accept than it wants, this waits until there is room.
---
---Waits: yes. When cancelled: raises CancelledError; the connection is not made
---@param path string of the socket; a name that begins with a zero byte is abstract (Linux)
---@param opts? table limit, high_water, low_water: as for open_connection; sock (a Stream that is connected, in place of the path, which is nil then)
---@return asyncio.Stream # reader
---@return asyncio.Stream # writer: the same Stream
function asyncio.open_unix_connection(path, opts) end

---A variable whose value belongs to a task and is inherited by the tasks that it starts.
---@param name string for tostring
---@param default? any what `get` returns where no value was set
---@return asyncio.ContextVar # with :get, :set, :reset
function asyncio.ContextVar(name, default) end

---The variable's value in the current context.
---@param default? any returned where no value was set; comes before the variable's own default
---@return any # the value
function ContextVar:get(default) end

---Set the variable in the current context: of the running task, or of the callback.
---@param value any any value but nil
---@return Token # for :reset
function ContextVar:set(value) end

---Give the variable back the value that it had before the `set` that returned the token.
---@param token Token of this variable's `set`; good for one time
function ContextVar:reset(token) end

---Make a coroutine function: calling it runs nothing, and returns a coroutine object with the arguments bound.
---@param fn function what the coroutine object runs
---@return function # the coroutine function
function asyncio.async(fn) end

---Drop a coroutine object that will not be awaited.
function Coroutine:close() end

---Wait for an awaitable: a future or task; or run a coroutine object, a function, a thread that has not started, or an object with `__await`, in this task.
---
---Waits: yes. When cancelled: raises CancelledError at the innermost wait; a future or task that is awaited is cancelled
---@param aw any the awaitable
---@return any # its results
function asyncio.await(aw) end

---Is the value a coroutine object (of asyncio.async), or a Lua thread?
---@param x any any value
---@return boolean #
function asyncio.iscoroutine(x) end

---Is the value a coroutine function, made by asyncio.async?
---@param x any any value
---@return boolean #
function asyncio.iscoroutinefunction(x) end

---Set an option of the socket.
---@param name string on or off: reuseaddr reuseport broadcast multicast_loop ipv6_only dontroute; numbers: rcvbuf sndbuf (bytes), ttl multicast_ttl tos; multicast_interface: the name of a network interface, or an address of it. Which there are depends on the system
---@param value boolean|integer|string bytes, hops, or as said above
function DatagramSocket:setsockopt(name, value) end

---Ask for an option of the socket.
---@param name string as for setsockopt
---@return boolean|integer|string|nil # multicast_interface: its address (IPv4) or name (IPv6), nil if none was set
function DatagramSocket:getsockopt(name) end

---Receive what is sent to a multicast group, too; until `leave_group`, or the socket is closed.
---@param group string numeric address of the group
---@param opts? table interface (name of a network interface, or an address of it; else the system chooses), source (numeric address: only what comes from there)
function DatagramSocket:join_group(group, opts) end

---Take back what `join_group` did with the same arguments.
---@param group string numeric address of the group
---@param opts? table interface, source: as for join_group
function DatagramSocket:leave_group(group, opts) end

---The address that the socket is bound to.
---@return string|nil # host, numeric; of a unix socket: its path, nil if it has none
---@return integer # port; a unix socket has none
function DatagramSocket:getsockname() end

---The address that the socket is connected to.
---@return string # host, numeric; of a unix socket: its path
---@return integer # port; a unix socket has none
function DatagramSocket:getpeername() end

---The number of the socket's descriptor.
---@return integer # -1 if the socket is closed
function DatagramSocket:fileno() end

---Close the socket. Whoever receives or sends is woken with an OSError whose code is "ECANCELED". Closing twice does nothing. The file of a unix socket that was bound stays.
function DatagramSocket:close() end

---The task's stack as text: where it waits, or where the error was raised.
---@return string? # nil for a task that has finished or was cancelled
function Task:traceback() end

---Write the task and its stack to stderr.
function Task:print_stack() end

---Test whether a value is an error object of a class.
---@param err any any value
---@param class table such as `asyncio.TimeoutError`
---@return boolean # true for an error object of exactly that class
function asyncio.is(err, class) end

---Call a function in protected mode, as Lua's pcall, but let a CancelledError through.
---
---Waits: yes. When cancelled: goes through: it is raised, not returned
---@param f function the function, which may wait
---@param ... any its arguments
---@return any # true and the results, or false and the error
function asyncio.pcall(f, ...) end

---Call a function with a message handler, as Lua's xpcall, but let a CancelledError through: the handler never sees it.
---
---Waits: yes. When cancelled: goes through: it is raised, not returned
---@param f function the function, which may wait
---@param handler function called with the error
---@param ... any arguments of f
---@return any # true and the results, or false and the handler's result
function asyncio.xpcall(f, handler, ...) end

---Call a function whenever a descriptor can be read from, in the loop's next turn, until `remove_reader`. A function that the descriptor had before is replaced. What is buffered in a file of Lua's is not seen. If the descriptor is closed while it is watched, the exception handler is told, and the function is forgotten.
---@param fd any number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`, `pollfd` or `getfd`
---@param f function what is called
---@param ... any its arguments
function Loop:add_reader(fd, f, ...) end

---Call a function whenever a descriptor can be written to, until `remove_writer`; as `add_reader`.
---@param fd any number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`, `pollfd` or `getfd`
---@param f function what is called
---@param ... any its arguments
function Loop:add_writer(fd, f, ...) end

---Take back what `add_reader` did.
---@param fd any number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`, `pollfd` or `getfd`
---@return boolean # false if the descriptor had no such function
function Loop:remove_reader(fd) end

---Take back what `add_writer` did.
---@param fd any number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`, `pollfd` or `getfd`
---@return boolean # false if the descriptor had no such function
function Loop:remove_writer(fd) end

---Wait until a descriptor can be read from: there is something, or its end, or an error. Tasks that wait for the same one are served one after the other, in the order in which they came. What is buffered in a file of Lua's is not seen.
---
---Waits: yes. When cancelled: raises CancelledError
---@param fd any number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`, `pollfd` or `getfd`
function asyncio.wait_readable(fd) end

---Wait until a descriptor can be written to; as `wait_readable`.
---
---Waits: yes. When cancelled: raises CancelledError
---@param fd any number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`, `pollfd` or `getfd`
function asyncio.wait_writable(fd) end

---Open a file, as `io.open` does, on libuv's thread pool: the loop goes on meanwhile, whatever the disk is doing. Unlike `io.open` it raises. A file that is not closed is written out and closed when it is collected, or when its loop closes; call `close` to hear of errors.
---
---Waits: yes. When cancelled: raises CancelledError; the file is closed again if it was opened, and may have been made or emptied
---@param path string name of the file
---@param mode? string `"r"` read, `"w"` write and empty it first, `"a"` append; with `"+"` behind it read and write; a `"b"` at the end changes nothing
---@return asyncio.File #
function asyncio.open(path, mode) end

---Write values to the file. They lie in a buffer until it is full (see `setvbuf`), or until `flush`, `seek`, `close` or reading sends it on; then the method waits. Tasks that use a file at the same time take turns, in the order in which they came: the values of one call are not mixed with others.
---
---Waits: yes, when the buffer is full. When cancelled: raises CancelledError; an unknown part of the data, from its beginning, was or will be written, the rest never
---@param ... any strings or numbers
---@return asyncio.File # the file, so that calls can be chained
function File:write(...) end

---Give everything that was written to the system.
---
---Waits: yes, if the buffer is not empty. When cancelled: raises CancelledError; what was not written stays in the buffer
---@return asyncio.File # the file
function File:flush() end

---Flush, and have the system put the data on the device (fsync): then it survives a power failure.
---
---Waits: yes. When cancelled: raises CancelledError; the system may be doing it nevertheless
---@return asyncio.File # the file
function File:sync() end

---Flush, and make the file so long: what is behind is lost, what is missing are zero bytes. The position stays where it is.
---
---Waits: yes. When cancelled: raises CancelledError; the system may be doing it nevertheless
---@param size? integer bytes
---@return asyncio.File # the file
function File:truncate(size) end

---Flush, and set the position at which the file is read or written next.
---
---Waits: yes. When cancelled: raises CancelledError; the position may have changed
---@param whence? string `"set"` from the beginning, `"cur"` from the present position, `"end"` from the end of the file
---@param offset? integer bytes
---@return integer # the new position, bytes from the beginning
function File:seek(whence, offset) end

---Say how writing is buffered. What the buffer holds already stays there until the next write or flush. Reading is always buffered.
---@param mode string `"no"`: each write goes out before it returns; `"full"`: when the buffer is full, or `flush` is called; `"line"`: when a newline was written, too
---@param size? integer bytes of the buffer, 1 to 1 GiB; also how much is read ahead
---@return boolean # true
function File:setvbuf(mode, size) end

---Write what the buffer holds, and close the file. Tasks that use it are woken at once, with an OSError whose code is "ECANCELED"; the descriptor is closed when the thread that may be using it is done. Closing a closed file does nothing.
---
---Waits: yes. When cancelled: raises CancelledError; the file is closed nevertheless
---@return boolean # true
function File:close() end

---Whether the file was closed, by `close`, by the end of its loop, or is being closed.
---@return boolean #
function File:is_closed() end

---The number of the file's descriptor. Its position is that of the buffers: flush before somebody else writes to it, such as a child process.
---@return integer # -1 if the file is closed
function File:fileno() end

---Read from the file, in Lua's formats. What was written before is written out first. Tasks that read one file at the same time take turns.
---
---Waits: yes, when the buffer does not hold enough. When cancelled: raises CancelledError; no byte is lost
---@param ... integer|string formats: a number of bytes, exactly, unless the file ends before; 0 gives `""` unless the file has ended; `"l"` a line without its newline, `"L"` with it, `"a"` all until the end, `"n"` a numeral. A `*` before a letter is skipped
---@return string|number|nil # a value for each format; nil where there was none, and nothing for those behind it
function File:read(...) end

---Iterate over the file: each step reads with the formats, until the first of them gives nil. The iterator waits. The file stays open.
---@param ... integer|string formats, as for `read`: a number of bytes, or a letter
---@return any # an iterator; a step raises, and is cancelled, as `read`
function File:lines(...) end

---Look at a file.
---
---Waits: yes. When cancelled: raises CancelledError
---@param path string its name; a symbolic link is followed
---@return table # type ("file", "directory", "link", "fifo", "socket", "char", "block"), size (bytes), mode (permission bits), atime, mtime, ctime, birthtime (seconds, float), uid, gid, nlink, dev, rdev, ino, blksize, blocks
function asyncio.fs.stat(path) end

---Look at a file; of a symbolic link, at the link itself.
---
---Waits: yes. When cancelled: raises CancelledError
---@param path string its name
---@return table # as `fs.stat`
function asyncio.fs.lstat(path) end

---Whether there is a file, and whether this process may use it.
---
---Waits: yes. When cancelled: raises CancelledError
---@param path string its name
---@param mode? string any of `"r"` read, `"w"` write, `"x"` execute; `""`: that it is there
---@return boolean #
---@return string|nil # the code of the reason if it is false, such as "ENOENT"
function asyncio.fs.access(path, mode) end

---Make a directory.
---
---Waits: yes. When cancelled: raises CancelledError; it may have been made, or only some of those that lead to it
---@param path string its name
---@param opts? table parents (boolean: make the directories that lead to it, too), exist_ok (boolean: it is no error if there is a directory of that name), mode (permission bits: an integer, or a string of octal digits, "777"; the process's umask takes from them)
function asyncio.fs.mkdir(path, opts) end

---Give a file another name; a file that has that name already is replaced.
---
---Waits: yes. When cancelled: raises CancelledError; it may have been done
---@param path string its name
---@param new string the new one
function asyncio.fs.rename(path, new) end

---Remove a file.
---
---Waits: yes. When cancelled: raises CancelledError; it may have been done
---@param path string its name
function asyncio.fs.unlink(path) end

---Remove an empty directory.
---
---Waits: yes. When cancelled: raises CancelledError; it may have been done
---@param path string its name
function asyncio.fs.rmdir(path) end

---Copy a file, with its permission bits; a file that has the new name already gets its content and bits. A fifo is refused (EINVAL). If it fails or is cancelled, the copy is removed, but a file that was there before is kept, with a part of the content.
---
---Waits: yes. When cancelled: raises CancelledError; copying stops
---@param path string its name
---@param new string the copy's name
---@param opts? table exclusive (boolean: an error if there is a file of the new name)
function asyncio.fs.copyfile(path, new, opts) end

---Give a file one more name.
---
---Waits: yes. When cancelled: raises CancelledError; it may have been done
---@param path string its name
---@param new string the other one
function asyncio.fs.link(path, new) end

---Make a symbolic link.
---
---Waits: yes. When cancelled: raises CancelledError; it may have been done
---@param target string the path that it leads to; it need not exist
---@param path string the name of the link
function asyncio.fs.symlink(target, path) end

---Where a symbolic link leads to.
---
---Waits: yes. When cancelled: raises CancelledError
---@param path string the name of the link
---@return string #
function asyncio.fs.readlink(path) end

---The absolute path of a file that exists, without links, `.` and `..` in it.
---
---Waits: yes. When cancelled: raises CancelledError
---@param path string its name
---@return string #
function asyncio.fs.realpath(path) end

---Set the permission bits of a file.
---
---Waits: yes. When cancelled: raises CancelledError; it may have been done
---@param path string its name
---@param mode integer|string the number of the permission bits, or its octal digits, `"644"`
function asyncio.fs.chmod(path, mode) end

---Set the times of a file.
---
---Waits: yes. When cancelled: raises CancelledError; it may have been done
---@param path string its name
---@param atime? number when it was last read: seconds since 1970; nil is now
---@param mtime? number when it was last written: seconds since 1970; nil is now
function asyncio.fs.utime(path, atime, mtime) end

---Make a directory with a new name, which nobody else may look into.
---
---Waits: yes. When cancelled: raises CancelledError; it is removed again if it was made
---@param prefix? string the beginning of its path, `"/tmp/job-"`; nil: in the system's directory for temporary files
---@return string # its path
function asyncio.fs.mkdtemp(prefix) end

---Make a file with a new name, which nobody else may read, and open it in mode "w+".
---
---Waits: yes. When cancelled: raises CancelledError; it is removed again if it was made
---@param prefix? string the beginning of its path, `"/tmp/job-"`; nil: in the system's directory for temporary files
---@return asyncio.File #
---@return string # its path
function asyncio.fs.mkstemp(prefix) end

---Iterate over the names in a directory, but for `.` and `..`, in no promised order. They are all read before the first one is given.
---
---Waits: yes; the iterator does not. When cancelled: raises CancelledError
---@param path string the name of the directory
---@return any # an iterator that gives the name and the type, as in `fs.stat`, of each; "unknown" where the file system does not tell
function asyncio.fs.scandir(path) end

---Complete the future with results.
---@param ... any the results; `await` and `result` return all of them
function Future:set_result(...) end

---Complete the future with an error.
---@param err any any value but nil; an error class stands for a new error of it
function Future:set_exception(err) end

---The results of a future that is done.
---@return any # the results; raises the error instead if there was one
function Future:result() end

---The error of a future that is done.
---@return any # the error, or nil if it has results
function Future:exception() end

---Is it done: finished, failed or cancelled?
---@return boolean #
function Future:done() end

---Was it cancelled?
---@return boolean #
function Future:cancelled() end

---Cancel. A Future is cancelled at once; in a Task the CancelledError is raised at its wait, in its next step.
---@param msg? any the CancelledError's message
---@return boolean # false if it is done already
function Future:cancel(msg) end

---Call a function with the future once it is done: in the turn after, in the order in which the functions were added.
---@param f function called as f(future)
function Future:add_done_callback(f) end

---Take a function out of the done callbacks.
---@param f function as it was added
---@return integer # how many times it was there
function Future:remove_done_callback(f) end

---The loop of the future.
---@return asyncio.Loop #
function Future:get_loop() end

---The state as one word.
---@return string # "pending", "running" (the task that is being executed now), "done" or "cancelled"
function Future:state() end

---Wait for the future, and return its results or raise its error.
---
---Waits: yes. When cancelled: cancels the future or task that is awaited, and raises CancelledError
---@return any # the results
function Future:await() end

---Is the value a Future or a Task?
---@param x any any value
---@return boolean #
function asyncio.isfuture(x) end

---Make a Future of this loop.
---@return asyncio.Future # pending
function Loop:create_future() end

---Make a Future.
---@param loop? asyncio.Loop to which it belongs; default: the running loop, else the current one
---@return asyncio.Future # pending
function asyncio.Future(loop) end

---Run awaitables concurrently and wait for all of them.
---
---Waits: yes. When cancelled: cancels all that are not done; CancelledError is raised when the first of them has ended by it, with `return_exceptions` when all have ended
---@param ... any awaitables; or one list of them and a table of options: `return_exceptions` (boolean): errors stand in the list of results instead of being raised. A future, task or coroutine object that is given twice counts once, a function runs as often as it is given
---@return table # the first result of each, in the order given, and their number `n`
function asyncio.gather(...) end

---Wait until some or all of several awaitables are done. Nothing is cancelled, no error is raised.
---
---Waits: yes. When cancelled: raises CancelledError; the awaitables go on
---@param list table awaitables; functions and coroutine objects become tasks
---@param options? table `timeout` (seconds): return then, whatever is done; `return_when`: `asyncio.FIRST_COMPLETED`, `asyncio.FIRST_EXCEPTION` or `asyncio.ALL_COMPLETED` (the default)
---@return table # the futures and tasks that are done, in the order given
---@return table # those that are pending
function asyncio.wait(list, options) end

---Run awaitables concurrently and iterate over them as they finish.
---@param list table awaitables
---@param options? table `timeout` (seconds, from this call on): then the iterator raises TimeoutError
---@return function # an iterator, which waits and returns the next task or future that is done; functions and coroutine objects have become tasks
function asyncio.as_completed(list, options) end

---Wait for an awaitable, but not longer than a time.
---
---Waits: yes. When cancelled: cancels the awaitable; its CancelledError is raised
---@param aw any an awaitable. A function or coroutine object runs in the current task; if the time is 0 or less it becomes a task, which is cancelled before it starts
---@param timeout? number seconds; nil: no limit
---@return any # what it returns
function asyncio.wait_for(aw, timeout) end

---Wait for an awaitable without passing a cancellation on to it.
---
---Waits: yes. When cancelled: raises CancelledError; the awaitable goes on, and if it fails later and nobody looks, its error is reported
---@param aw any an awaitable; a function or coroutine object becomes a task
---@return any # what it returns
function asyncio.shield(aw) end

---Call a function in the next turn of the loop.
---@param f function what is called
---@param ... any its arguments
---@return asyncio.Handle # with :cancel() and :cancelled()
function Loop:call_soon(f, ...) end

---As call_soon. In Lua there is one thread only; the name is here for those who know asyncio.
---@param f function what is called
---@param ... any its arguments
---@return asyncio.Handle # with :cancel() and :cancelled()
function Loop:call_soon_threadsafe(f, ...) end

---Call a function after a while.
---@param delay number seconds
---@param f function what is called
---@param ... any its arguments
---@return asyncio.TimerHandle # with :cancel(), :cancelled() and :when()
function Loop:call_later(delay, f, ...) end

---Call a function at a time of the loop's clock.
---@param when number seconds, as loop:time() counts them
---@param f function what is called
---@param ... any its arguments
---@return asyncio.TimerHandle # with :cancel(), :cancelled() and :when()
function Loop:call_at(when, f, ...) end

---The time of the loop's clock: monotonic, or simulated.
---@return number # seconds
function Loop:time() end

---Cancel the callback: it is not called any more, and the handle lets go of it. Does nothing if it has been called.
function Handle:cancel() end

---Was the callback cancelled?
---@return boolean #
function Handle:cancelled() end

---When the callback is due.
---@return number # seconds of the loop's clock
function TimerHandle:when() end

---Suspend the current task for a while.
---
---Waits: yes. When cancelled: raises CancelledError; the timer is disarmed
---@param delay number seconds; 0 or less gives way once
---@param result? any any value
---@return any # `result`
function asyncio.sleep(delay, result) end

---The sockets that the process was given when it was started: socket activation, as by systemd. They are of the current loop. A server takes one by its option `sock`. Without activation both lists are empty.
---@param opts? table keep_env (boolean; true: the environment variables LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES stay; else they are removed, so that child processes do not see them, and a second call gives nothing)
---@return table # list of Streams and DatagramSockets
---@return table # list of their names
function asyncio.listen_fds(opts) end

---Listen for connections, and run the handler in a task of its own for each: `handler(reader, writer)`, both the same Stream. A handler that raises has its connection closed and the error reported through the loop's exception handler; one that returns leaves the connection open until it is closed or collected.
---
---Waits: yes. When cancelled: raises CancelledError; there is no server
---@param handler function called with reader and writer
---@param host? string|table address, name, or a list of these; nil or "" is every address of this machine
---@param port integer 0 lets the system choose: see `server:sockets()[1]:getsockname()`
---@param opts? table limit (integer, bytes, of each connection's input, 65536), high_water and low_water (integer, bytes: see Stream:set_write_buffer_limits), family ("inet", "inet6"), ipv6_only (boolean, true; false: one IPv6 socket for both families), backlog (integer, 100), reuse_address (boolean, true), reuse_port (boolean), keep_alive (boolean), start_serving (boolean, true: false leaves that to `start_serving`), sock (a Stream that is bound, or listens, in place of host and port and of the options about them; it is the server's from now on)
---@return asyncio.Server #
function asyncio.start_server(handler, host, port, opts) end

---The same as `start_server`, on a unix socket. A socket file of that name is replaced, as asyncio does it; any other file in the way is an error. The file goes when the server closes, unless another one has taken its place.
---
---Waits: yes. When cancelled: raises CancelledError; there is no server
---@param handler function called with reader and writer
---@param path string of the socket; a name that begins with a zero byte is abstract (Linux)
---@param opts? table limit, high_water, low_water, backlog, start_serving: as for start_server; mode (integer, the permissions of the file, such as `tonumber("600", 8)`), cleanup_socket (boolean, true; false: the file stays), sock (a Stream that is bound, or listens, in place of the path and of the options about it; its file stays)
---@return asyncio.Server #
function asyncio.start_unix_server(handler, path, opts) end

---Acquire the lock: wait until it is free and all who came before have had it, then take it. The lock is returned, and its `__close` releases it: `local _ <close> = lock:acquire()` holds it to the end of the block.
---
---Waits: yes, unless it is free. When cancelled: raises CancelledError; a wake-up that was on its way goes to the next waiter
---@return any # the lock (or condition) itself
function Lock:acquire() end

---Acquire the lock: wait until it is free and all who came before have had it, then take it. The lock is returned, and its `__close` releases it: `local _ <close> = lock:acquire()` holds it to the end of the block.
---
---Waits: yes, unless it is free. When cancelled: raises CancelledError; a wake-up that was on its way goes to the next waiter
---@return any # the lock (or condition) itself
function Condition:acquire() end

---Call a function with the lock held: acquire, call, release, also when the function fails.
---
---Waits: yes, unless the lock is free; and whatever `fn` waits for. When cancelled: raises CancelledError; the lock is free again
---@param fn function what is called; it may wait
---@param ... any its arguments
---@return any # what `fn` returns
function Lock:with(fn, ...) end

---Call a function with the lock held: acquire, call, release, also when the function fails.
---
---Waits: yes, unless the lock is free; and whatever `fn` waits for. When cancelled: raises CancelledError; the lock is free again
---@param fn function what is called; it may wait
---@param ... any its arguments
---@return any # what `fn` returns
function Condition:with(fn, ...) end

---Release the lock: the first of those who wait for it gets it. Any task may release it, not only the one that acquired it.
function Lock:release() end

---Release the lock: the first of those who wait for it gets it. Any task may release it, not only the one that acquired it.
function Condition:release() end

---Tell whether the lock is acquired.
---@return boolean # true while somebody holds it
function Lock:locked() end

---Tell whether the lock is acquired.
---@return boolean # true while somebody holds it
function Condition:locked() end

---Make a lock: at most one task holds it at a time. The others wait, and get it in the order in which they came. It belongs to the event loop on which it is first waited for.
---@return asyncio.Lock # an unlocked lock
function asyncio.Lock() end

---Wait until the event is set.
---
---Waits: yes, unless it is set. When cancelled: raises CancelledError
---@return boolean # true
function Event:wait() end

---Set the event: all who wait for it go on, and nobody waits until it is cleared.
function Event:set() end

---Clear the event: who comes from now on waits until it is set again.
function Event:clear() end

---Tell whether the event is set.
---@return boolean # true if it is set
function Event:is_set() end

---Make an event: a flag that tasks can wait for. It belongs to the event loop on which it is first waited for.
---@return asyncio.Event # an event that is not set
function asyncio.Event() end

---Release the lock, wait for a notification, and take the lock back. It may also return without a notification: look again at what you wait for, or use `wait_for`.
---
---Waits: yes. When cancelled: raises CancelledError, as soon as the lock is taken back; a notification that was on its way goes to the next waiter
---@return boolean # true
function Condition:wait() end

---Wait until a predicate holds: it is asked at once, and again after each wait.
---
---Waits: yes, unless the predicate holds at once. When cancelled: raises CancelledError, as soon as the lock is taken back; a notification that was on its way goes to the next waiter
---@param predicate function called without arguments, with the lock held
---@return any # the predicate's first result, which is neither nil nor false
function Condition:wait_for(predicate) end

---Wake some of the tasks that wait on the condition, in the order in which they came. They go on when they have got the lock back: release it soon.
---@param n? integer how many, at most
function Condition:notify(n) end

---Wake all tasks that wait on the condition.
function Condition:notify_all() end

---Make a condition: who holds its lock can wait on it until another task, which then holds the lock, notifies him. It belongs to the event loop on which it is first waited for.
---@param lock? asyncio.Lock for conditions that share one; else it has one of its own
---@return asyncio.Condition # a condition
function asyncio.Condition(lock) end

---Make two Streams that are connected to each other in memory, without sockets. They need a loop, but no time: with a virtual clock (`asyncio.testing.run`) a test of a protocol is exact.
---@param opts? table limit (integer, bytes: of each side's input, 65536)
---@return asyncio.Stream # one end
---@return asyncio.Stream # the other end
function asyncio.testing.stream_pair(opts) end

---Start a program as a child process. It is found along PATH (the child's, if `env` sets one); each argument is one string, no shell looks at it.
---@param program string name or path of the program
---@param ... any its arguments, strings; then perhaps a table of options: `stdin`, `stdout`, `stderr`: "inherit" (also if not given), "pipe" (the Process has a Stream for it), "devnull", an open file of Lua's, a File that has nothing left to write, a descriptor, an object with a method `fileno`, `pollfd` or `getfd`, or a Stream, which is closed here once the child runs; for stderr also "stdout": where stdout goes; `cwd`: the child's directory; `env`: a table of all its variables; `extra_env`: variables to add to them or to this process's own, `false` removes one; `uid`, `gid`: who it runs as; `detached=true`: in a session of its own, and not killed when its loop closes; `process_group=true` (or 0): in a session of its own; signals, also those at the end of a scope or of the loop, go to the whole group, as long as the child itself runs; `limit`: bytes, of the Streams' input (65536); `grace`: seconds that the end of a scope gives it between SIGTERM and SIGKILL (5)
---@return asyncio.Process # with the fields stdin, stdout, stderr, pid, returncode
function asyncio.create_subprocess_exec(program, ...) end

---Start a command line of the shell (/bin/sh) as a child process. What comes from outside does not belong into it unquoted: `create_subprocess_exec` has no such trap.
---@param command string a line, or several
---@param opts? table those of create_subprocess_exec
---@return asyncio.Process # of the shell
function asyncio.create_subprocess_shell(command, opts) end

---Wait until the child has ended. Several tasks may do so. Streams may have output of the child's that is not read yet; a child that writes more than a pipe holds, to a pipe that nobody reads, never ends: `communicate` reads.
---
---Waits: yes. When cancelled: raises CancelledError; the child runs on
---@return integer # its exit status; or, if a signal killed it, minus the number of the signal
function Process:wait() end

---Send input to the child, read what it writes until both ends are there, and wait for its end: all at once, so that neither side blocks the other. That the child does not read all of its input is no error.
---
---Waits: yes. When cancelled: raises CancelledError; the child runs on. Call it again, without input: nothing that was read is lost
---@param input? string for its stdin, which is closed then, and also if there is no input
---@return string? # what it wrote to stdout; nil if that is no pipe
---@return string? # what it wrote to stderr; nil if that is no pipe
function Process:communicate(input) end

---Send a signal to the child; to its whole group, if it was started with `process_group`.
---@param signal any name ("SIGHUP") or number of the signal
function Process:send_signal(signal) end

---Ask the child to end: SIGTERM.
function Process:terminate() end

---End the child: SIGKILL.
function Process:kill() end

---Put an item into the queue; wait until there is room for it.
---
---Waits: yes, if the queue is full. When cancelled: raises CancelledError; the item is not put, and the room goes to the next who waits for it
---@param item any any value; nil, too, but see `iter`
function Queue:put(item) end

---Put an item into the queue; wait until there is room for it.
---
---Waits: yes, if the queue is full. When cancelled: raises CancelledError; the item is not put, and the room goes to the next who waits for it
---@param item any any value; nil, too, but see `iter`
function LifoQueue:put(item) end

---Put an item into the queue; wait until there is room for it.
---
---Waits: yes, if the queue is full. When cancelled: raises CancelledError; the item is not put, and the room goes to the next who waits for it
---@param item any any value; nil, too, but see `iter`
function PriorityQueue:put(item) end

---Put an item into the queue, or raise an error if there is no room.
---@param item any any value; nil, too, but see `iter`
function Queue:put_nowait(item) end

---Put an item into the queue, or raise an error if there is no room.
---@param item any any value; nil, too, but see `iter`
function LifoQueue:put_nowait(item) end

---Put an item into the queue, or raise an error if there is no room.
---@param item any any value; nil, too, but see `iter`
function PriorityQueue:put_nowait(item) end

---Take the next item out of the queue; wait until there is one.
---
---Waits: yes, if the queue is empty. When cancelled: raises CancelledError; no item is lost: one that was on its way goes to the next getter
---@return any # the item: the oldest one, of a LifoQueue the newest one, of a PriorityQueue the least one
function Queue:get() end

---Take the next item out of the queue; wait until there is one.
---
---Waits: yes, if the queue is empty. When cancelled: raises CancelledError; no item is lost: one that was on its way goes to the next getter
---@return any # the item: the oldest one, of a LifoQueue the newest one, of a PriorityQueue the least one
function LifoQueue:get() end

---Take the next item out of the queue; wait until there is one.
---
---Waits: yes, if the queue is empty. When cancelled: raises CancelledError; no item is lost: one that was on its way goes to the next getter
---@return any # the item: the oldest one, of a LifoQueue the newest one, of a PriorityQueue the least one
function PriorityQueue:get() end

---Take the next item out of the queue, or raise an error if there is none.
---@return any # the item, as of `get`
function Queue:get_nowait() end

---Take the next item out of the queue, or raise an error if there is none.
---@return any # the item, as of `get`
function LifoQueue:get_nowait() end

---Take the next item out of the queue, or raise an error if there is none.
---@return any # the item, as of `get`
function PriorityQueue:get_nowait() end

---Iterate over the items as they come, until the queue is shut down and empty. Each step is a `get`; call `task_done` yourself if somebody joins the queue. A nil item ends the loop, as Lua's `for` does with any nil.
---@return function # an iterator; calling it waits for the next item
function Queue:iter() end

---Iterate over the items as they come, until the queue is shut down and empty. Each step is a `get`; call `task_done` yourself if somebody joins the queue. A nil item ends the loop, as Lua's `for` does with any nil.
---@return function # an iterator; calling it waits for the next item
function LifoQueue:iter() end

---Iterate over the items as they come, until the queue is shut down and empty. Each step is a `get`; call `task_done` yourself if somebody joins the queue. A nil item ends the loop, as Lua's `for` does with any nil.
---@return function # an iterator; calling it waits for the next item
function PriorityQueue:iter() end

---Wait until `task_done` was called for every item that was put.
---
---Waits: yes, unless nothing is unfinished. When cancelled: raises CancelledError
function Queue:join() end

---Wait until `task_done` was called for every item that was put.
---
---Waits: yes, unless nothing is unfinished. When cancelled: raises CancelledError
function LifoQueue:join() end

---Wait until `task_done` was called for every item that was put.
---
---Waits: yes, unless nothing is unfinished. When cancelled: raises CancelledError
function PriorityQueue:join() end

---Say that the work on an item is done: once for each item that was taken.
function Queue:task_done() end

---Say that the work on an item is done: once for each item that was taken.
function LifoQueue:task_done() end

---Say that the work on an item is done: once for each item that was taken.
function PriorityQueue:task_done() end

---Shut the queue down: putting raises QueueShutDown from now on, getting does so when it is empty. Everybody who waits to put is woken to that error.
---@param immediate? boolean drop the items that are left; they count as done
function Queue:shutdown(immediate) end

---Shut the queue down: putting raises QueueShutDown from now on, getting does so when it is empty. Everybody who waits to put is woken to that error.
---@param immediate? boolean drop the items that are left; they count as done
function LifoQueue:shutdown(immediate) end

---Shut the queue down: putting raises QueueShutDown from now on, getting does so when it is empty. Everybody who waits to put is woken to that error.
---@param immediate? boolean drop the items that are left; they count as done
function PriorityQueue:shutdown(immediate) end

---Tell how many items are in the queue.
---@return integer # number of items
function Queue:qsize() end

---Tell how many items are in the queue.
---@return integer # number of items
function LifoQueue:qsize() end

---Tell how many items are in the queue.
---@return integer # number of items
function PriorityQueue:qsize() end

---Tell how many items the queue can hold.
---@return integer # number of items, as it was given; 0 or less: no limit
function Queue:maxsize() end

---Tell how many items the queue can hold.
---@return integer # number of items, as it was given; 0 or less: no limit
function LifoQueue:maxsize() end

---Tell how many items the queue can hold.
---@return integer # number of items, as it was given; 0 or less: no limit
function PriorityQueue:maxsize() end

---Tell whether the queue is empty.
---@return boolean # true if `get` would wait
function Queue:empty() end

---Tell whether the queue is empty.
---@return boolean # true if `get` would wait
function LifoQueue:empty() end

---Tell whether the queue is empty.
---@return boolean # true if `get` would wait
function PriorityQueue:empty() end

---Tell whether the queue is full.
---@return boolean # true if `put` would wait; a queue without a limit is never full
function Queue:full() end

---Tell whether the queue is full.
---@return boolean # true if `put` would wait; a queue without a limit is never full
function LifoQueue:full() end

---Tell whether the queue is full.
---@return boolean # true if `put` would wait; a queue without a limit is never full
function PriorityQueue:full() end

---Make a queue: items come out in the order in which they were put. It belongs to the event loop on which it is first waited for.
---@param maxsize? integer number of items that it can hold; 0 or less: no limit
---@return asyncio.Queue # an empty queue
function asyncio.Queue(maxsize) end

---Make a queue from which the item that was put last comes out first.
---@param maxsize? integer number of items that it can hold; 0 or less: no limit
---@return asyncio.LifoQueue # an empty queue
function asyncio.LifoQueue(maxsize) end

---Make a queue from which the least item comes out first. Items that are equal come out in no particular order. Where a comparison raises an error, `put` has put nothing and `get` has taken nothing.
---@param maxsize? integer number of items that it can hold; 0 or less: no limit
---@param less? function called with two items, tells whether the first comes out before the second; it may not wait. Without it, items are compared with `<`
---@return asyncio.PriorityQueue # an empty queue
function asyncio.PriorityQueue(maxsize, less) end

---Read exactly n bytes.
---
---Waits: yes. When cancelled: raises CancelledError; no byte is lost
---@param n integer how many bytes, at least 0
---@return string #
function Stream:readexactly(n) end

---Read until a separator, which belongs to the result.
---
---Waits: yes. When cancelled: raises CancelledError; no byte is lost
---@param separator? string|table or a list of separators: the one that ends first counts
---@return string #
function Stream:readuntil(separator) end

---Read a line with its newline. The last line may have none.
---
---Waits: yes. When cancelled: raises CancelledError; no byte is lost
---@return string|nil # nil at the end of the stream
function Stream:readline() end

---Read from the stream.
---
---Waits: yes. When cancelled: raises CancelledError; no byte is lost
---@param n? integer|string at least one and at most n bytes: what there is; -1 all until the end; 0 gives `""`; or a format of Lua's: `"l"` a line without its newline, `"L"` with it, `"a"` all until the end
---@return string|nil # nil at the end of the stream; `""` for `"a"`
function Stream:read(n) end

---Iterate over the lines, until the stream ends. The iterator waits.
---@param format? integer|string `"l"` lines without newline, `"L"` with it, or a number of bytes at most
---@return any # an iterator
function Stream:lines(format) end

---Whether the stream has ended, or was closed here, and nothing is left to be read.
---@return boolean #
function Stream:at_eof() end

---Receive at least one and at most n bytes. Tasks that wait are served in the order in which they came.
---
---Waits: yes. When cancelled: raises CancelledError; no byte is lost
---@param n integer the most bytes; 0 gives `""`
---@return string|nil # nil when the peer has ended its side
function Stream:recv(n) end

---The same as `sock:recv(n)`.
---
---Waits: yes. When cancelled: raises CancelledError; no byte is lost
---@param sock asyncio.Stream|asyncio.DatagramSocket a connected socket
---@param n integer the most bytes; 0 gives `""`
---@return string|nil # nil when the peer has ended its side; a datagram may be empty
function Loop:sock_recv(sock, n) end

---Run an awaitable on a new loop; then cancel what is left, let it finish, and close the loop. Ctrl-C cancels the main task.
---@param aw any a function, coroutine object, ...
---@param ... any arguments, if it is a function
---@return any # all its results
function asyncio.run(aw, ...) end

---The parts of `run`: several runs on one loop.
---@param opts? table `debug` (boolean), `loop_factory` (function that returns a Loop)
---@return asyncio.Runner # with :run, :get_loop, :close and `<close>`
function asyncio.Runner(opts) end

---Run an awaitable on the runner's loop. What it sets in a ContextVar is there in the next run.
---@param aw any a function, coroutine object, ...
---@param ... any arguments, if it is a function
---@return any # all its results
function Runner:run(aw, ...) end

---The runner's loop.
---@return asyncio.Loop #
function Runner:get_loop() end

---Cancel what is left, let it finish, and close the loop.
function Runner:close() end

---Cancel what runs in a scope when it takes too long, and turn that cancellation into a TimeoutError. Without a function it begins here and must be held by a `<close>` variable, whose block is the scope.
---
---Waits: yes, with a function. When cancelled: goes through: it is not the scope's own
---@param delay number seconds; nil: no limit as yet
---@param f? any a function (or another awaitable) to be run in the scope
---@param ... any arguments of the function
---@return any # a Timeout with :when(), :reschedule(t), :expired(); or what the function returns
function asyncio.timeout(delay, f, ...) end

---The same as `timeout`, with the time at which it ends.
---
---Waits: yes, with a function. When cancelled: goes through: it is not the scope's own
---@param when number seconds of the loop's clock; nil: no limit as yet
---@param f? any a function (or another awaitable) to be run in the scope
---@param ... any arguments of the function
---@return any # a Timeout; or what the function returns
function asyncio.timeout_at(when, f, ...) end

---When the scope ends.
---@return number # seconds of the loop's clock; nil: no limit
function Timeout:when() end

---Change when the scope ends.
---@param when number seconds of the loop's clock; one that has passed ends it at once; nil: no limit
function Timeout:reschedule(when) end

---Has the scope ended because its time was over?
---@return boolean #
function Timeout:expired() end

---Start a task that belongs to the group.
---@param aw any a function, coroutine object or other awaitable
---@param ... any arguments of the function
---@return asyncio.Task #
function TaskGroup:create_task(aw, ...) end

---A group of tasks that are all awaited: the first that fails cancels the others and what runs in the block, and then all errors are raised together. Without a function it begins here and must be held by a `<close>` variable, whose block is the scope.
---
---Waits: yes, with a function; else where the block ends. When cancelled: cancels the tasks, waits for them, and raises CancelledError
---@param f? function called with the group; when it has returned, the tasks are awaited
---@return any # a TaskGroup with :create_task(aw, ...); or what the function returns
function asyncio.TaskGroup(f) end

---The loop that is running.
---@return asyncio.Loop #
function asyncio.get_running_loop() end

---The running loop, else the current one; if there is none, one is made and set.
---@return asyncio.Loop #
function asyncio.get_event_loop() end

---Make a loop. It is not the current one unless `set_event_loop` makes it so.
---@param opts? table `clock="virtual"`: time is simulated, it jumps to the next timer when nothing is ready, and stands still while a look-up of a name, a file, a job on a thread or the end of a child process is waited for; `debug=true`; `threads=n`: at most n threads for to_thread, as Loop:set_thread_count sets it
---@return asyncio.Loop #
function asyncio.new_event_loop(opts) end

---Make a loop the current one, which waits at top level run and `get_event_loop` returns.
---@param loop asyncio.Loop? nil: there is none, unless a host has opened one
function asyncio.set_event_loop(loop) end

---Make a task of an awaitable, unless it is a Future or Task already.
---@param aw any the awaitable
---@return asyncio.Future # the same, or a new Task of the running loop, else of the current one
function asyncio.ensure_future(aw) end

---Run the loop until an awaitable is done.
---@param aw any a future, task, coroutine object, function ...
---@param ... any arguments, if it is a function
---@return any # its results
function Loop:run_until_complete(aw, ...) end

---Run the loop until `stop` is called.
function Loop:run_forever() end

---End run_forever, or run_until_complete, after the current turn.
function Loop:stop() end

---Close the loop: pending tasks are closed in the order of creation (their to-be-closed variables run), handles released.
function Loop:close() end

---Is the loop running?
---@return boolean #
function Loop:is_running() end

---Is the loop closed?
---@return boolean #
function Loop:is_closed() end

---Say what is called for errors that nobody can catch: of callbacks, and of tasks that nobody awaits.
---@param f function? called as f(loop, context); context has message, exception, traceback, and task, future or handle; nil: the default, which writes to stderr
function Loop:set_exception_handler(f) end

---The function of set_exception_handler.
---@return function? # nil for the default
function Loop:get_exception_handler() end

---Call the exception handler.
---@param context table with `message` and whatever else is known
function Loop:call_exception_handler(context) end

---What is done when there is no other exception handler: write the context to stderr. For handlers that see to some errors and leave the others to it.
---@param context table `message`, and exception, traceback, task, future, handle, if it has them
function Loop:default_exception_handler(context) end

---Debug mode: slow callbacks, coroutine objects that are never awaited, swallowed cancellations are reported; tasks know where they were created.
---@param on boolean whether it is on
function Loop:set_debug(on) end

---Is debug mode on?
---@return boolean #
function Loop:get_debug() end

---Take a permit: wait until one is free and all who came before have theirs. The semaphore is returned, and its `__close` gives the permit back: `local _ <close> = sem:acquire()` holds it to the end of the block.
---
---Waits: yes, unless a permit is free. When cancelled: raises CancelledError; a permit that was on its way goes to the next waiter
---@return any # the semaphore itself
function Semaphore:acquire() end

---Take a permit: wait until one is free and all who came before have theirs. The semaphore is returned, and its `__close` gives the permit back: `local _ <close> = sem:acquire()` holds it to the end of the block.
---
---Waits: yes, unless a permit is free. When cancelled: raises CancelledError; a permit that was on its way goes to the next waiter
---@return any # the semaphore itself
function BoundedSemaphore:acquire() end

---Call a function with a permit: acquire, call, release, also when the function fails.
---
---Waits: yes, unless a permit is free; and whatever `fn` waits for. When cancelled: raises CancelledError; the permit is free again
---@param fn function what is called; it may wait
---@param ... any its arguments
---@return any # what `fn` returns
function Semaphore:with(fn, ...) end

---Call a function with a permit: acquire, call, release, also when the function fails.
---
---Waits: yes, unless a permit is free; and whatever `fn` waits for. When cancelled: raises CancelledError; the permit is free again
---@param fn function what is called; it may wait
---@param ... any its arguments
---@return any # what `fn` returns
function BoundedSemaphore:with(fn, ...) end

---Give a permit back: the first of those who wait gets it.
function Semaphore:release() end

---Give a permit back: the first of those who wait gets it.
function BoundedSemaphore:release() end

---Tell whether `acquire` would wait.
---@return boolean # true if no permit is free, or if others wait for one
function Semaphore:locked() end

---Tell whether `acquire` would wait.
---@return boolean # true if no permit is free, or if others wait for one
function BoundedSemaphore:locked() end

---Make a semaphore: as many tasks as it has permits hold it at the same time. The others wait, and get their permits in the order in which they came. It belongs to the event loop on which it is first waited for.
---@param value? integer number of permits, not negative
---@return asyncio.Semaphore # a semaphore with all its permits free
function asyncio.Semaphore(value) end

---Make a semaphore that raises an error if it is released more often than it was acquired.
---@param value? integer number of permits, not negative
---@return asyncio.BoundedSemaphore # a semaphore with all its permits free
function asyncio.BoundedSemaphore(value) end

---Send a file, or a part of it, on a Stream, in bounded memory. On a socket the kernel does it (sendfile(2), Linux), else the file is read and written in pieces. Wait for it before anybody else uses the file; what others write to the stream meanwhile goes out between two pieces.
---
---Waits: yes. When cancelled: raises CancelledError; an unknown part, from its beginning, has been sent
---@param file asyncio.File a file that was opened for reading; its position is behind what was sent afterwards
---@param stream asyncio.Stream a Stream that is connected
---@param offset? integer where in the file to begin (bytes)
---@param count? integer how many bytes; nil: all until the end of the file
---@return integer # how many bytes were sent
function asyncio.sendfile(file, stream, offset, count) end

---The same as `asyncio.sendfile(file, stream, offset, count)`, with asyncio's order of arguments.
---
---Waits: yes. When cancelled: raises CancelledError; an unknown part, from its beginning, has been sent
---@param stream asyncio.Stream a Stream that is connected
---@param file asyncio.File a file that was opened for reading
---@param offset? integer where in the file to begin (bytes)
---@param count? integer how many bytes; nil: all until the end of the file
---@return integer # how many bytes were sent
function Loop:sendfile(stream, file, offset, count) end

---Begin to accept connections. If the server does already, nothing happens.
function Server:start_serving() end

---Stop listening. Connections that were accepted are left open; `serve_forever` ends with a CancelledError.
function Server:close() end

---Accept connections until the task is cancelled, or the server closed. It closes the server; it does not wait for clients that are still connected.
---
---Waits: yes. When cancelled: closes the server and raises CancelledError, even while clients are connected
---@return any # never
function Server:serve_forever() end

---Wait until the server is closed and all its connections are.
---
---Waits: yes. When cancelled: raises CancelledError; nothing else changes
function Server:wait_closed() end

---Close all connections that the server has accepted, as `stream:close()` does: what was written is still sent.
function Server:close_clients() end

---Close all connections that the server has accepted at once; what was written and is not sent is thrown away. A handler that waits for its stream gets an OSError; one that waits for something else goes on.
function Server:abort_clients() end

---The sockets on which the server listens.
---@return table # list of Streams; empty when the server is closed
function Server:sockets() end

---Whether the server accepts connections.
---@return boolean #
function Server:is_serving() end

---The server's event loop.
---@return asyncio.Loop #
function Server:get_loop() end

---Call a function whenever a signal comes, in the loop's next turn. A handler that the loop had for this signal before is replaced; other loops keep theirs. While there is one for SIGINT, Ctrl-C does nothing else.
---@param signal any name ("SIGTERM") or number of the signal
---@param f function what is called
---@param ... any its arguments
function Loop:add_signal_handler(signal, f, ...) end

---Take back what `add_signal_handler` did: the disposition that was there before the first handler is there again.
---@param signal any name ("SIGTERM") or number of the signal
---@return boolean # false if the loop had no handler for it
function Loop:remove_signal_handler(signal) end

---Make a socket of the current loop; or, with `socket{fileno = fd}`, one of a descriptor that is open already, whatever it is: TCP, UDP or unix, new, bound, listening or connected. The descriptor belongs to the library from then on.
---@param family? string|table "inet" (IPv4), "inet6" (IPv6) or "unix"; or options: fileno (integer, the descriptor), with which there is no second argument
---@param type? string "stream" (TCP) or "dgram" (UDP)
---@return asyncio.Stream|asyncio.DatagramSocket # a socket that is neither bound nor connected
function asyncio.socket(family, type) end

---Set an option of the socket.
---@param name string on or off: reuseaddr reuseport nodelay keepalive broadcast ipv6_only oobinline dontroute cork quickack; numbers: rcvbuf sndbuf (bytes), keepidle keepintvl (seconds), keepcnt, user_timeout (milliseconds); linger: seconds, or false. Which there are depends on the system
---@param value boolean|integer in the option's unit: bytes, seconds or milliseconds
function Stream:setsockopt(name, value) end

---Ask for an option of the socket.
---@param name string as for setsockopt
---@return boolean|integer #
function Stream:getsockopt(name) end

---The address that the socket is bound to.
---@return string|nil # host, numeric; of a unix socket: its path, nil if it has none
---@return integer # port; a unix socket has none
function Stream:getsockname() end

---The address of the peer.
---@return string|nil # host, numeric; of a unix socket: its path, nil if it has none
---@return integer # port; a unix socket has none
function Stream:getpeername() end

---The number of the socket's descriptor.
---@return integer # -1 if the stream is closed or has none
function Stream:fileno() end

---Bind the socket to an address of this machine.
---
---Waits: yes, if it must look up a name. When cancelled: raises CancelledError; the socket is as it was
---@param host? string numeric address or name; nil or "" is every address of this machine. Of a unix socket: its path; a name that begins with a zero byte is abstract (Linux)
---@param port? integer 0 lets the system choose; a unix socket has none
function Stream:bind(host, port) end

---Let others connect to the socket.
---@param backlog? integer how many connections the system keeps that nobody has accepted
function Stream:listen(backlog) end

---Wait for a connection. Tasks that wait are served in the order in which they came.
---
---Waits: yes. When cancelled: raises CancelledError; no connection is lost
---@return asyncio.Stream # the connection
---@return string|nil # host of the peer, numeric; of a unix socket: its path, nil if it has none
---@return integer # port of the peer; a unix socket has none
function Stream:accept() end

---The same as `sock:accept()`.
---
---Waits: yes. When cancelled: raises CancelledError; no connection is lost
---@param sock asyncio.Stream a listening socket
---@return asyncio.Stream # the connection
---@return string|nil # host of the peer, numeric; of a unix socket: its path, nil if it has none
---@return integer # port of the peer; a unix socket has none
function Loop:sock_accept(sock) end

---Connect the socket.
---
---Waits: yes. When cancelled: raises CancelledError; the socket is closed, except while a name is looked up
---@param host string numeric address or name, of which the first address of the socket's family is taken; of a unix socket: the path
---@param port? integer number; a unix socket has none
function Stream:connect(host, port) end

---Connect a socket; as `sock:connect`, with the address as a table.
---
---Waits: yes. When cancelled: raises CancelledError; the socket is closed, except while a name is looked up
---@param sock asyncio.Stream|asyncio.DatagramSocket a socket that is not connected
---@param address table|string `{host, port}`, or the path of a unix socket
function Loop:sock_connect(sock, address) end

---End reading, writing, or both, of the socket. Writing ends when everything written before is out.
---@param how string "read", "write" or "both"
function Stream:shutdown(how) end

---The standard input as a Stream, whether it is a terminal, a pipe, a socket or a file. A loop has one: each call gives the same, until it is closed. What it has read ahead is not seen by `io.read`; what is left when it or the loop is closed is there for the next one. It is read only while somebody waits for input: what nobody asks for is left to others. Closing leaves descriptor 0 open.
---@param opts? table limit (integer, bytes: the longest line, and half of what is read ahead, 65536)
---@return asyncio.Stream #
function asyncio.stdin(opts) end

---The standard output as a Stream. What `print` has written before comes out before. What was written goes out also if the script ends before: by its end, `os.exit` in the same thread, or an error. Closing leaves descriptor 1 open.
---@param opts? table limit (integer, bytes; see stdin)
---@return asyncio.Stream #
function asyncio.stdout(opts) end

---The standard error as a Stream; as `stdout`.
---@param opts? table limit (integer, bytes; see stdin)
---@return asyncio.Stream #
function asyncio.stderr(opts) end

---Whether this is a stream over a terminal.
---@return boolean #
function Stream:isatty() end

---Set the mode of the terminal. It is given back when the stream or the loop is closed, at the end of the script, by `os.exit`, an error, or a signal that ends or stops the process.
---@param mode string "raw": every key comes at once, is not shown, and makes no signal; "cbreak": the same, but Ctrl-C and the like still make signals; "noecho": lines as usual, but not shown, for passwords; "normal": as it was. Output is processed as before
function Stream:set_mode(mode) end

---The size of the terminal. The signal "SIGWINCH" comes when it changes.
---@return integer # columns
---@return integer # rows
function Stream:winsize() end

---Close the stream. What `write` has kept is still sent first; a `sendall` in progress is given up. Whoever reads, accepts or sends is woken with an OSError whose code is "ECANCELED". Closing twice does nothing.
function Stream:close() end

---Close the stream at once; what `write` has kept is thrown away.
function Stream:abort() end

---Whether the stream is closed, or is being closed, or its connection has broken.
---@return boolean #
function Stream:is_closing() end

---Wait until the stream is closed and everything written before is out. Somebody must call `close`.
---
---Waits: yes. When cancelled: raises CancelledError; closing goes on
function Stream:wait_closed() end

---Something that belongs to the connection: "peername", "sockname" (both `{host, port}`, or the path of a unix socket), "peercred" (of a unix socket: `{pid=, uid=, gid=}` of who has made the other end) or "socket" (the Stream itself).
---@param name string what is asked for
---@param default? any what to return if there is no such thing
---@return any # the value, or `default`. "peername" of TCP is known after the stream was closed, too
function Stream:get_extra_info(name, default) end

---Start a task on the running loop: the function runs concurrently, from the next turn on.
---@param aw any a function, coroutine object, thread that has not started, or object with `__await`
---@param ... any arguments, if it is a function
---@return asyncio.Task #
function asyncio.create_task(aw, ...) end

---Start a task on this loop.
---@param aw any a function, coroutine object, thread that has not started, or object with `__await`
---@param ... any arguments, if it is a function
---@return asyncio.Task #
function Loop:create_task(aw, ...) end

---A task factory that runs a task at once until its first wait: for `loop:set_task_factory`.
---@param loop asyncio.Loop where the task runs
---@param fn function what the task runs
---@param ... any arguments
---@return asyncio.Task #
function asyncio.eager_task_factory(loop, fn, ...) end

---Say how the loop makes tasks.
---@param f function? called as f(loop, fn, ...), must return a Task; nil for the default
function Loop:set_task_factory(f) end

---The loop's task factory.
---@return function? # nil for the default
function Loop:get_task_factory() end

---A task that is made without asking the loop's task factory: what a factory of your own returns.
---@param loop? asyncio.Loop where the task runs; default: the running loop
---@param aw any a function, coroutine object, thread that has not started, or object with `__await`
---@param ... any arguments, if it is a function
---@return asyncio.Task #
function asyncio.Task(loop, aw, ...) end

---The task that is being executed now.
---@param loop? asyncio.Loop default: the running loop
---@return asyncio.Task? # nil in a callback
function asyncio.current_task(loop) end

---All tasks that are not done.
---@param loop? asyncio.Loop default: the running loop, else the current one
---@return table # list in the order of creation
function asyncio.all_tasks(loop) end

---The task's name.
---@return string # "Task-1" and so on if none was set
function Task:get_name() end

---Give the task a name.
---@param name string shown by tostring and reports
---@return asyncio.Task # the task
function Task:set_name(name) end

---The Lua thread on which the task runs. It must not be resumed or closed by hand.
---@return thread? # nil when the task is done
function Task:get_coro() end

---How many requests to cancel the task are pending: calls of cancel less calls of uncancel.
---@return integer #
function Task:cancelling() end

---Withdraw one request to cancel the task; the last one also withdraws a cancellation that was not delivered yet.
---@return integer # how many are left
function Task:uncancel() end

---Run a function on a thread of the loop's own, in a Lua state of that thread, and wait for its results. Tasks go on meanwhile. The function is a Lua function without upvalues (but for `_ENV`: globals are those of the thread's state), or the name of a function in a library. What it is given and what it returns is copied: nil, booleans, numbers, strings, and tables of these without metatables; a table that is reached in two ways stays one table. The thread's state has the standard libraries and this state's `package.path` and `package.cpath`; it is used again, so that globals and loaded modules stay for the next job that happens to run there. C modules that jobs use must bear to be used on several threads.
---
---Waits: yes. When cancelled: raises CancelledError; a job that has not begun is dropped, one that has begun runs on and its results are dropped
---@param fn function|string the function, or its name, `"os.execute"`, `"socket.http.request"` (the module must be loaded here)
---@param ... any arguments
---@return any # the function's results
function asyncio.to_thread(fn, ...) end

---The same as `asyncio.to_thread`, without waiting: gives a Future. To cancel it drops the job if it has not begun.
---@param executor nil there is only the loop's own: see `Loop:set_thread_count`
---@param fn function|string the function, or the name of a library function
---@param ... any arguments
---@return asyncio.Future # of the function's results
function Loop:run_in_executor(executor, fn, ...) end

---Set how many threads the loop may have for `to_thread` and `run_in_executor`: min(32, cores + 4) if nothing is said. They are started when they are needed, and end with the loop; if there are more than allowed from now on, they end when they have finished their jobs. `new_event_loop{threads = n}` does the same.
---@param n integer how many (count), 1 to 1024
function Loop:set_thread_count(n) end

---Bind the socket to an address of this machine, from which its datagrams come, and at which others reach it.
---
---Waits: yes, if it must look up a name. When cancelled: raises CancelledError; the socket is as it was
---@param host? string numeric address or name; nil or "" is every address of this machine. Of a unix socket: its path; a name that begins with a zero byte is abstract (Linux), and nil lets Linux choose such a name
---@param port? integer 0 lets the system choose
function DatagramSocket:bind(host, port) end

---Send to one address from now on, and receive from there only. If nobody listens there, a later `recv` or `sendall` raises an OSError with code "ECONNREFUSED".
---
---Waits: yes, if it must look up a name. When cancelled: raises CancelledError; the socket is as it was
---@param host string numeric address or name, of which the first address of the socket's family is taken; of a unix socket: the path
---@param port? integer number; a unix socket has none
function DatagramSocket:connect(host, port) end

---Receive a datagram. Tasks that wait are served in the order in which they came.
---
---Waits: yes. When cancelled: raises CancelledError; no datagram is lost
---@param n? integer the most bytes; what is behind them in the datagram is lost
---@return string # the datagram, which may be empty
function DatagramSocket:recv(n) end

---Receive a datagram, and the address from which it came.
---
---Waits: yes. When cancelled: raises CancelledError; no datagram is lost
---@param n? integer the most bytes; what is behind them in the datagram is lost
---@return string # the datagram, which may be empty
---@return string|nil # host of the sender, numeric; of a unix socket: its path, nil if it has none
---@return integer # port of the sender; a unix socket has none
function DatagramSocket:recvfrom(n) end

---The same as `sock:recvfrom(n)`.
---
---Waits: yes. When cancelled: raises CancelledError; no datagram is lost
---@param sock asyncio.DatagramSocket a socket that is bound
---@param n? integer the most bytes; what is behind them in the datagram is lost
---@return string # the datagram, which may be empty
---@return string|nil # host of the sender, numeric; of a unix socket: its path, nil if it has none
---@return integer # port of the sender; a unix socket has none
function Loop:sock_recvfrom(sock, n) end

---Send a datagram to where the socket is connected to.
---
---Waits: yes. When cancelled: raises CancelledError; the datagram is not sent
---@param data string the datagram
function DatagramSocket:sendall(data) end

---Send a datagram to an address.
---
---Waits: yes. When cancelled: raises CancelledError; the datagram is not sent
---@param data string the datagram
---@param host string numeric address or name, of which the first address of the socket's family is taken; of a unix socket: the path
---@param port? integer number; a unix socket has none
---@return integer # how many bytes were sent: all of them
function DatagramSocket:sendto(data, host, port) end

---The same as `sock:sendto`, with the address as a table.
---
---Waits: yes. When cancelled: raises CancelledError; the datagram is not sent
---@param sock asyncio.DatagramSocket a socket
---@param data string the datagram
---@param address table|string `{host, port}`, or the path of a unix socket
---@return integer # how many bytes were sent: all of them
function Loop:sock_sendto(sock, data, address) end

---Stop watching. Loops over the watcher end.
function Watcher:close() end

---Watch a file, or the files of a directory (not of those in it), for changes: by inotify on Linux. The watcher is an iterator that waits: each step gives an event, its kind and the name of the file, without the directory. It belongs to the current loop. Leaving the loop closes it, and so does the end of a scope: `local watcher <close> = asyncio.fs.watch(path)`.
---@param path string name of the file or directory
---@param opts? table limit (integer: events that are kept until they are taken, 1024)
---@return asyncio.Watcher # gives `"change"` and a name when contents or properties have changed; `"rename"` and a name when a file was made, removed or renamed; `"overflow"`, nil and a number when so many events were lost because the limit was reached: look for yourself then. Equal events that follow each other are one. What the kernel loses, libuv does not tell. A step ends the loop when the watcher was closed, and raises an OSError if watching fails
function asyncio.fs.watch(path, opts) end

---Make a generator: like coroutine.wrap, but waits inside the function pass through to the task. For use in a `for`.
---@param fn function its coroutine.yield(...) hands values out
---@return function # the iterator; then nil, nil, and a closer with which `break` closes the generator
function asyncio.wrap(fn) end

---Give the global `coroutine` library versions of resume, wrap, close and status that let waits pass through: libraries that make coroutines inside then work in tasks. Code that took `coroutine.resume` into a local variable before is not reached. A function that the library lacks, as in a sandbox, is not put in.
---@return function # undoes it
function asyncio.patch() end

---Write bytes. What the kernel does not take at once is kept and sent later; call `drain` to keep step with the peer.
---@param data string the bytes
function Stream:write(data) end

---Write a list of strings, as if they were one.
---@param list table of strings; no newlines are added
function Stream:writelines(list) end

---End the writing side, when everything written before is out; the peer reads the end of the stream. Reading goes on.
function Stream:write_eof() end

---Whether the writing side can be ended on its own (`write_eof`).
---@return boolean # true for every Stream that is connected
function Stream:can_write_eof() end

---Keep step with the peer: wait while too much of what was written has not gone out. From more than the high mark (64 KiB) until no more than the low one (16 KiB) is left; below, it returns at once. `wait_closed` waits until everything is out. Several tasks may do so.
---
---Waits: yes. When cancelled: raises CancelledError; what was written is still sent
function Stream:drain() end

---Set the marks between which `drain` holds writers back: from more than `high_water` bytes that are kept here until there are `low_water` or fewer. One that is not given follows from the other: the high one is four times the low one; without both they are as at first. `open_connection` and `start_server` have options of these names.
---@param limits? table high_water (integer, bytes, 65536; 0: whatever the kernel does not take at once is waited for), low_water (integer, bytes, 16384)
function Stream:set_write_buffer_limits(limits) end

---The marks between which `drain` holds writers back.
---@return integer # the low one (bytes)
---@return integer # the high one (bytes)
function Stream:get_write_buffer_limits() end

---How much of what was written is still kept here; what the kernel has taken does not count.
---@return integer # bytes
function Stream:get_write_buffer_size() end

---Send all the bytes, and wait until they are out. Several tasks may do so; their data is not mixed.
---
---Waits: yes. When cancelled: raises CancelledError; an unknown part of the data, from its beginning, has been sent, the rest never will be
---@param data string the bytes
function Stream:sendall(data) end

---The same as `sock:sendall(data)`.
---
---Waits: yes. When cancelled: raises CancelledError; an unknown part of the data, from its beginning, has been sent, the rest never will be
---@param sock asyncio.Stream|asyncio.DatagramSocket a connected socket
---@param data string the bytes, or the datagram
function Loop:sock_sendall(sock, data) end

---Run a function as `asyncio.run` does, on a loop whose clock jumps to the next timer when nothing is ready.
---@param fn function what is run
---@param ... any its arguments
---@return any # its results
function asyncio.testing.run(fn, ...) end

return asyncio
