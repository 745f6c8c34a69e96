-- Signs in with a wrong password, under one name after the other, each connection after a pause of its own: as many
-- times a second as RATE says, if the answers come at once.
dofile("ask.lua")
local turn = 0
local pause = 1000 * tonumber(os.getenv("CONNECTIONS")) / tonumber(os.getenv("RATE"))

function request()
  turn = turn + 1
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"},
    '{"username": "ada' .. turn % 50 .. '", "password": "not the password"}')
end

function delay()
  return math.random(0, 2 * pause)
end
