-- One chain of refreshes for each thread: the refresh token of an answer is what the next request presents.
dofile("ask.lua")
local client, token

function init(arguments)
  client, token = arguments[1], arguments[1 + number]
end

function request()
  return wrk.format("POST", nil, {["Content-Type"] = "application/x-www-form-urlencoded"},
    "grant_type=refresh_token&client_id=" .. client .. "&refresh_token=" .. token)
end

function response(status, headers, body)
  token = string.match(body, '"refresh_token":"([^"]+)"') or token
end
