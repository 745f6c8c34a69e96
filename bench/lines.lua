-- Sends the lines of a file in turn, endlessly: as the body of a POST, or as the Authorization header of a GET. Begins
-- after as many lines as START says.
dofile("ask.lua")
local lines, how, at = {}, "", 0

function init(arguments)
  how, at = arguments[1], tonumber(os.getenv("START") or "0")
  for line in io.lines(arguments[2]) do
    table.insert(lines, line)
  end
end

function request()
  at = at % #lines + 1
  if how == "body" then
    return wrk.format("POST", nil, {["Content-Type"] = "application/x-www-form-urlencoded"}, lines[at])
  end
  return wrk.format("GET", nil, {["Authorization"] = lines[at]})
end
