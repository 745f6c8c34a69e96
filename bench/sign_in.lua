-- Signs in with a wrong password, under one name after the other: about a thousand times a second from 16 connections.
dofile("ask.lua")
local turn = 0

function request()
  turn = turn + 1
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"},
    '{"username": "ada' .. turn % 50 .. '", "password": "not the password"}')
end

function delay()
  return 15
end
